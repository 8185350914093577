"""What is never called ok: what is left alone, waits, is stopped or shows no label."""

import json
from dataclasses import replace

import pytest
from audit_cases import CONF, DOCKER, NAMED, audit, container, finding

from phoenix.apparmor.observed import MARKER, ObservedAppArmor
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Fleet
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import NodePlan, WatchChange
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.report.terminal import attention, audit_lines

ENFORCED = "lxc-docker-nested (enforce)"


def held(conf="", label=None, ha=None, entry=DOCKER, **options):
    """What the plan of a node and its audit make of one container that no run may touch."""
    observed = ObservedContainer(
        910, PveConf(f"{CONF}features: nesting=1\n{conf}"), label is not None, 1, label, ha, "pve1"
    )
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": entry}}).encode())
    text = f"{MARKER}\nprofile lxc-docker-nested {{}}\n"
    apparmor = ObservedAppArmor(
        True, (4, 1, 0), ("4.0",), {"lxc-docker-nested": "enforce"}, {"lxc-docker-nested": text}
    )
    pct = ObservedPct("pve1", {910: observed})
    facts = NodeFacts(containers=pct, apparmor=apparmor)
    templates = {"lxc-docker-nested.j2": text.replace(MARKER, "{{ marker }}")}
    chosen = Options(**options)
    plan = plan_node(fleet=fleet, options=chosen, facts=facts, templates=templates)
    return audit_node(fleet=fleet, options=chosen, facts=NodeFacts(containers=pct), plan=plan)


UNCONFINED = "lxc.apparmor.profile: unconfined\n"


RIGHT = "lxc.apparmor.profile: lxc-docker-nested\n"


LOCKED = {"conf": f"lock: backup\n{UNCONFINED}"}


BY_HA = {"conf": UNCONFINED, "ha": "started"}


@pytest.mark.parametrize("how", [LOCKED, BY_HA, {"conf": f"lock: backup\n{UNCONFINED}", "ha": "x"}])
@pytest.mark.parametrize("only", [{}, {"only": (910,)}], ids=["all", "only"])
@pytest.mark.parametrize("entry", [DOCKER, {}], ids=["Docker", "without"])
@pytest.mark.parametrize("label", [None, "unconfined"], ids=["stopped", "running"])
def test_an_unconfined_one_that_is_left_alone_is_never_ok(how, only, entry, label):
    found = held(**how, **only, entry=entry, label=label)
    (row,) = found.containers
    assert not row.ok
    assert found.needs_attention
    said = next(one for one in found.findings if one.code in (Code.LOCKED, Code.HA))
    assert said.needs_attention
    wanted = "lxc-docker-nested" if entry else "generated"
    assert f"still to do: profile: unconfined becomes {wanted}" in said.text
    assert row.verdict.startswith("left alone: ")


@pytest.mark.parametrize(
    ("conf", "ha", "why"),
    [
        ("lock: backup\n", None, "left alone: locked (backup)"),
        ("", "started", "left alone: managed by HA (started), its restart belongs to the cluster"),
    ],
)
def test_one_that_is_left_alone_and_right_is_ok_and_said_to_be_left_alone(conf, ha, why):
    (row,) = held(f"{conf}{RIGHT}", ha=ha).containers
    assert (row.ok, row.verdict) == (True, f"stopped; its conf is right; {why}")
    (row,) = held(f"{conf}{RIGHT}", ENFORCED, ha).containers
    assert (row.ok, row.verdict) == (True, f"confined; {why}")


@pytest.mark.parametrize(
    "how", [{"conf": f"lock: backup\n{RIGHT}"}, {"conf": RIGHT, "ha": "started"}]
)
def test_who_names_one_that_is_confined_and_left_alone_passes(how):
    found = held(**how, label=ENFORCED, only=(910,))
    assert found.containers[0].ok
    assert not found.needs_attention


def test_one_that_is_confined_and_waits_for_something_else_is_left_alone():
    entry = {**DOCKER, "pct_options": ["nesting=1", "keyctl=1"]}
    found = held(f"lock: backup\n{RIGHT}", ENFORCED, entry=entry)
    assert not found.containers[0].ok
    assert found.containers[0].verdict == (
        "left alone: locked (backup); still to do: features: keyctl=1: run again when the lock is "
        "gone"
    )


def test_a_template_says_what_its_clones_will_have():
    (row,) = held(f"template: 1\n{UNCONFINED}").containers
    assert row.ok
    assert row.verdict == "template; its conf says unconfined, and so will those of its clones"
    (row,) = held(f"template: 1\n{RIGHT}").containers
    assert (row.ok, row.verdict) == (True, "template")


def test_a_plan_that_has_nothing_for_it_does_not_make_an_unconfined_one_right():
    found = finding(container(None, f"{CONF}{UNCONFINED}"), docker=None)
    assert (found.ok, found.verdict) == (False, "stopped, its conf says unconfined")


@pytest.mark.parametrize("said", ["unconfined", "unchanged"])
def test_one_that_is_confined_until_its_restart_is_not_ok_though_the_file_asks_for_that(said):
    conf = f"{CONF}lxc.apparmor.profile: {said}\n"
    entry = {"apparmor_profile": "unconfined"}
    found = finding(container("lxc-a (enforce)", conf), entry, docker=None)
    assert [one.code for one in found.findings if one.needs_attention] == [Code.UNCONFINED]
    assert found.verdict.startswith(
        f"confined until it is restarted: its conf says {said}, as the fleet file asks: phoenix"
    )
    kept = finding(
        container("lxc-a (enforce)", f"{CONF}lxc.apparmor.profile: lxc-a\n"), entry, docker=None
    )
    assert kept.ok


def test_one_that_includes_a_file_is_not_taken_for_right_before_it_runs():
    conf = f"{NAMED}lxc.include: /root/more.conf\n"
    found = finding(container(None, conf), docker=None)
    assert (found.ok, found.verdict) == (
        False,
        "stopped, its conf includes /root/more.conf, which may name another profile",
    )
    assert finding(container("lxc-docker-nested (enforce)", conf), docker=None).ok


def test_one_that_runs_and_shows_no_label_is_not_taken_for_stopped():
    found = finding(replace(container(None), running=True), docker=None)
    assert (found.ok, found.verdict) == (False, "runs, and its label cannot be read")


def test_nothing_that_is_stopped_is_right_on_a_node_without_apparmor():
    off = Finding(Code.APPARMOR_UNUSABLE, Severity.ERROR, "AppArmor is off")
    found = audit(NodePlan("pve1", findings=(off,)), container(None, NAMED))
    assert not found.containers[0].ok
    assert found.containers[0].verdict == "stopped, and would start without AppArmor"
    pct = ObservedPct("pve1", {911: replace(container(None, NAMED), ctid=911)})
    (unlisted,) = audit_node(
        fleet=Fleet({}),
        options=Options(),
        facts=NodeFacts(containers=pct),
        plan=NodePlan("pve1", findings=(off,)),
    ).containers
    assert not unlisted.ok
    assert "; stopped, and would start without AppArmor: add" in unlisted.verdict


def test_a_node_that_needs_attention_is_named_beside_its_containers():
    plan = NodePlan("pve1", watch=WatchChange("keep"))
    assert "1 container, 0 need attention; pve1 does" in [*audit_lines([audit(plan)])]


@pytest.mark.parametrize(
    ("count", "nodes", "text"),
    [
        (0, [], "0 need attention"),
        (1, ["pve1"], "1 needs attention; so does pve1"),
        (0, ["pve1", "pve2"], "0 need attention; pve1, pve2 do"),
        (2, ["pve1", "pve2"], "2 need attention; so do pve1, pve2"),
    ],
)
def test_containers_and_nodes_that_need_attention_are_told_in_one_line(count, nodes, text):
    assert attention(count, nodes) == text


@pytest.mark.parametrize("state", ["noshell", "application"])
def test_a_guest_without_a_shell_that_nobody_lists_with_docker_is_confined(state):
    entry = {"apparmor_profile": "lxc-docker-nested"}
    found = finding(container(), entry, ObservedDocker(state, error="no such file"))
    assert (found.ok, found.verdict) == (True, "confined")
    assert finding(container(), docker=ObservedDocker("noshell")).ok is False


NOT_KNOWN = {
    "hung": "confined; its guest gave no answer in time",
    "flooded": "confined; its guest says more than anybody reads",
    "failed": "confined; its guest cannot be asked",
}


@pytest.mark.parametrize("state", ["dead", "hung", "noshell", "failed", "flooded"])
def test_a_docker_that_nobody_lists_needs_no_attention_and_one_that_is_listed_does(state):
    docker = ObservedDocker(state, error="no such file")
    unlisted = finding(container(), {"apparmor_profile": "lxc-docker-nested"}, docker)
    assert unlisted.ok
    assert unlisted.verdict.partition(": ")[0] == NOT_KNOWN.get(state, "confined")
    assert unlisted.docker.startswith(state)
    (down,) = finding(container(), docker=docker).findings
    assert (down.code, down.severity) == (Code.DOCKER_DOWN, Severity.WARNING)


def test_a_program_of_its_own_has_no_docker_to_show():
    assert finding(container(), {}, ObservedDocker("application")).docker == "-"
