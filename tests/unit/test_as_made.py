"""What `create` has made stays under the profile that its features imply."""

import pytest
from plan_cases import CONF, TEXT, apparmor, container, fleet, node

from phoenix.plan.as_made import as_made
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.plan.questions import asked_by_harden
from phoenix.plan.watch import wanted_text

GPU = "lxc-nesting-gpu-docker-storage"
STACK = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"


def conf(named):
    return CONF.replace("profile: unconfined", f"profile: {named}", 1)


def meant(named="lxc-docker-nested", **entry):
    """The profile that an entry means for a container whose conf names one."""
    pct = node(container(conf=conf(named)))
    return as_made(fleet(ct910=entry), pct).containers[910].profile


@pytest.mark.parametrize(
    "named",
    ["lxc-docker-nested", "lxc-docker-nested-complain", "lxc-docker-nested-910", STACK],
)
def test_a_docker_container_without_a_word_stays_under_the_implied_profile(named):
    assert meant(named, features=["docker"]) == "lxc-docker-nested"


def test_with_a_gpu_it_is_that_profile_which_is_implied():
    assert meant(GPU, features=["docker", "nvidia"]) == GPU
    assert meant(GPU, features=["docker"]) == "generated"
    assert meant("lxc-docker-nested", features=["docker", "nvidia"]) == "generated"


@pytest.mark.parametrize("said", [None, "generated"])
def test_what_the_file_says_wins(said):
    assert meant(features=["docker"], apparmor_profile=said) == "generated"


@pytest.mark.parametrize("named", ["unconfined", "lxc-phoenix-v2", "lxc-docker-nested-952"])
def test_what_somebody_else_has_named_goes_as_before(named):
    assert meant(named, features=["docker"]) == "generated"


@pytest.mark.parametrize("features", [[], ["nvidia"], ["base_setup"]])
def test_without_docker_nothing_is_implied(features):
    assert meant(features=features) == "generated"


def test_plan_audit_and_watch_are_of_one_mind():
    pct = node(container(conf=conf("lxc-docker-nested"), label="lxc-docker-nested (enforce)"))
    profile = {"lxc-docker-nested": TEXT}
    host = apparmor(loaded={"lxc-docker-nested": "enforce"}, files=profile)
    templates = {"lxc-docker-nested.j2": SOURCE, HOOK_TEMPLATE: ""}
    its = fleet(ct910={"features": ["docker"]})
    facts = NodeFacts(containers=pct, apparmor=host)
    plan = plan_node(fleet=its, options=Options(), facts=facts, templates=templates)
    assert plan.containers == ()
    audit = audit_node(fleet=its, options=Options(), facts=facts, plan=plan)
    assert audit.containers[0].wanted == "lxc-docker-nested"
    assert audit.containers[0].ok
    said = wanted_text(its, Options(), facts, plan).splitlines()
    assert said[0] == "910 lxc-docker-nested (enforce)"


SOURCE = "{{ marker }}\nprofile {{ name }} {}\n"


def test_its_profile_is_asked_for_although_the_file_does_not_name_it():
    asked = asked_by_harden(fleet(ct910={"features": ["docker"]}), Options())
    assert asked["apparmor"]["files"] == ["lxc-docker-nested"]
