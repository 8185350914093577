"""What changes on a node, why, and what restarts."""

from dataclasses import replace

import pytest
from plan_cases import (
    CONF,
    DOCKER,
    ENFORCED,
    TEXT,
    apparmor,
    container,
    fleet,
    hardened,
    installed,
    node,
    plan,
    said,
)

from phoenix.apparmor.observed import MARKER
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import absent_note, check_selection, plan_node
from phoenix.plan.options import Options
from phoenix.pve.managed import Managed
from phoenix.pve.observed import Live, ObservedPct


def test_an_unconfined_container_gets_the_profile_and_its_features_in_the_main_section_only():
    (change,) = plan().containers
    assert change.after.render() == hardened()
    assert (str(change.label), change.restart, change.docker) == (ENFORCED, True, True)
    assert said(change) == (
        "features: keyctl=1",
        "profile: unconfined becomes lxc-docker-nested",
    )


def test_the_profile_comes_before_the_containers_that_name_it():
    (change,) = plan().profiles
    assert (change.name, change.before, change.after) == ("lxc-docker-nested", None, TEXT)
    assert str(change.reason) == "new"


def test_a_node_that_is_as_the_file_says_gets_an_empty_plan():
    pct = node(container(conf=hardened(), label="lxc-docker-nested (enforce)"))
    assert plan(pct, installed()).empty


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (apparmor(files={"lxc-docker-nested": TEXT}), "installed but not loaded"),
        (
            apparmor(files={"lxc-docker-nested": TEXT}, loaded={"lxc-docker-nested": "complain"}),
            "loaded in complain mode",
        ),
        (
            replace(installed(), stale=("lxc-docker-nested",)),
            "the kernel has another text",
        ),
        (
            apparmor(files={"lxc-docker-nested": MARKER}, loaded={"lxc-docker-nested": "enforce"}),
            "changed",
        ),
    ],
)
def test_each_way_in_which_a_profile_can_be_wrong_is_recognised(host, reason):
    assert [str(change.reason) for change in plan(host=host).profiles] == [reason]


def test_a_profile_file_that_we_did_not_write_is_replaced_only_with_force():
    host = apparmor(files={"lxc-docker-nested": "profile lxc-docker-nested {}\n"})
    (problem,) = plan(host=host).problems
    assert "/etc/apparmor.d/lxc-docker-nested is there and not ours" in problem
    assert str(plan(host=host, options=Options(force=True)).profiles[0].reason) == "changed"


def test_a_right_conf_with_a_wrong_live_label_is_a_restart_and_no_write():
    (change,) = plan(node(container(conf=hardened())), installed()).containers
    assert change.after == change.before
    assert change.restart
    assert said(change) == ("restart due: PID 1 runs as unconfined, not lxc-docker-nested",)


def test_a_feature_that_the_running_container_lacks_is_a_restart():
    conf = hardened().replace("keyctl=1", "keyctl=1,fuse=1", 1)
    live = Live(dev_fuse=False, keyctl=True, config=(("lxc.arch", "amd64"),))
    pct = node(container(conf=conf, label="lxc-docker-nested (enforce)", live=live))
    (change,) = plan(pct, installed()).containers
    assert said(change) == ("restart due: fuse=0 in the running container",)


ENTRY = "lxc.mount.entry: /dev/fuse dev/fuse none bind,create=file 0 0"


@pytest.mark.parametrize(
    ("line", "due"),
    [
        ("dev0: /dev/fuse", False),
        ("dev3: path=/dev/fuse,mode=0666", False),
        (ENTRY, False),
        ("dev0: /dev/net/tun", True),
    ],
)
def test_a_dev_fuse_that_another_line_brings_is_no_restart_though_the_feature_is_off(line, due):
    conf = hardened().replace("keyctl=1", "keyctl=1,fuse=0", 1)
    conf = conf.replace("unprivileged: 1\n", f"unprivileged: 1\n{line}\n", 1)
    live = Live(dev_fuse=True, keyctl=True, config=(("lxc.arch", "amd64"),))
    pct = node(container(conf=conf, label=ENFORCED, live=live))
    changes = plan(pct, installed()).containers
    assert [said(change) for change in changes] == [
        ("restart due: fuse=1 in the running container",)
    ] * due


def test_the_fleet_file_may_want_fuse_of_one_that_has_it_by_a_device():
    conf = hardened().replace("keyctl=1", "keyctl=1,fuse=0", 1)
    conf = conf.replace("unprivileged: 1\n", "unprivileged: 1\ndev0: /dev/fuse\n", 1)
    live = Live(dev_fuse=True, keyctl=True, config=(("lxc.arch", "amd64"),))
    pct = node(container(conf=conf, label=ENFORCED, live=live))
    entry = {**DOCKER, "pct_options": [*DOCKER["pct_options"], "fuse=1"]}
    assert plan(pct, installed(), ct910=entry).containers == ()


def test_restart_never_stages_the_conf_and_says_that_a_restart_is_due():
    result = plan(options=Options(restart="never"))
    (change,) = result.containers
    assert change.after != change.before
    assert not change.restart
    assert result.notes == ("CT 910 portainer: a restart is due (restart=never)",)


def test_restart_never_leaves_a_container_that_only_needs_a_restart():
    pct = node(container(conf=hardened()))
    assert plan(pct, installed(), options=Options(restart="never")).empty


def test_a_stopped_container_changes_and_stays_stopped():
    (change,) = plan(node(container(label=None))).containers
    assert change.after != change.before
    assert not change.restart


@pytest.mark.parametrize(
    ("label", "restart", "noted"),
    [
        ("unconfined", "auto", "lxc-docker-nested"),
        (None, "auto", "lxc-docker-nested"),
        ("unconfined", "never", ""),
    ],
    ids=["proven", "stopped", "restart=never"],
)
def test_the_note_of_a_run_names_the_profile_unless_the_container_goes_on_without(
    label, restart, noted
):
    (change,) = plan(node(container(label=label)), options=Options(restart=restart)).containers
    assert Managed.parse(change.managed.render()).profile == noted


# --- without Docker -----------------------------------------------------------------------


@pytest.mark.parametrize("entry", [{}, {"apparmor_profile": "generated"}, {"features": ["nvidia"]}])
@pytest.mark.parametrize("privileged", [False, True])
def test_one_without_docker_becomes_generated_and_a_second_run_has_nothing_to_do(entry, privileged):
    conf = CONF.replace("unprivileged: 1\n", "") if privileged else CONF
    (change,) = plan(node(container(conf=conf)), ct910=entry).containers
    assert change.after.main.raw("lxc.apparmor.profile") == ()
    assert (change.restart, change.docker) == (True, False)
    label = f"{change.label.profile}//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    again = plan(node(container(conf=change.after.text, label=label)), ct910=entry)
    assert again.empty
    assert not again.problems


def test_the_file_can_insist_that_one_without_docker_is_unconfined():
    result = plan(ct910={"apparmor_profile": "unconfined"})
    assert result.empty
    assert not result.problems


def test_a_profile_that_the_file_names_counts_without_docker_as_well():
    (change,) = plan(ct910={"apparmor_profile": "lxc-docker-nested"}).containers
    assert change.after.main.raw("lxc.apparmor.profile") == ("lxc-docker-nested",)


def test_the_scope_docker_leaves_the_others_out():
    entries = {"ct910": DOCKER, "ct953": {}}
    pct = node(container(), container(953))
    assert [one.ctid for one in plan(pct, **entries).containers] == [910, 953]
    docker = Options(scope="docker")
    assert [one.ctid for one in plan(pct, options=docker, **entries).containers] == [910]
    assert check_selection(fleet(**entries), Options(scope="docker", only=(910, 953)), [pct]) == [
        "only=953: has no Docker as far as the file says, and scope=docker: leave that out"
    ]
    assert absent_note(fleet(ct953={}), docker, [node()]) is None


def test_generated_drops_the_explicit_profile():
    (change,) = plan(ct910={"apparmor_profile": "generated"}).containers
    assert change.after.main.raw("lxc.apparmor.profile") == ()
    assert str(change.label) == "lxc-910_</var/lib/lxc> (enforce)"
    assert change.after.snapshots == change.before.snapshots


def test_the_profile_of_the_command_line_counts_for_docker_containers_only():
    entries = {
        "ct910": {**DOCKER, "apparmor_profile": "unconfined"},
        "ct953": {"apparmor_profile": "unconfined"},
    }
    pct = node(container(), container(953))
    result = plan(pct, options=Options(profile="lxc-docker-nested"), **entries)
    assert [change.ctid for change in result.containers] == [910]


def test_unconfined_in_the_file_never_takes_confinement_away():
    conf = hardened()
    pct = node(container(conf=conf, label="lxc-docker-nested (enforce)"))
    result = plan(pct, ct910={**DOCKER, "apparmor_profile": "unconfined"})
    assert result.empty
    assert "the fleet file says unconfined, the conf lxc-docker-nested: kept" in result.notes[0]


def test_raw_keys_of_the_file_are_added_once():
    entry = {
        **DOCKER,
        "lxc_options": ["lxc.mount.entry=/srv/a srv/a none bind,create=dir 0 0"],
    }
    (change,) = plan(ct910=entry).containers
    (again,) = plan(node(replace(container(), conf=change.after)), ct910=entry).containers
    assert change.after.main.raw("lxc.mount.entry") == ("/srv/a srv/a none bind,create=dir 0 0",)
    assert again.after == again.before


def test_a_profile_without_a_template_is_a_problem_of_selected_containers_only():
    entries = {"ct910": DOCKER, "ct953": {"apparmor_profile": "lxc-nobody-wrote-it"}}
    pct = node(container(), container(953))
    (problem,) = plan(pct, **entries).problems
    assert "apparmor_profile lxc-nobody-wrote-it: no template" in problem
    assert not plan(pct, options=Options(only=(910,)), **entries).problems


def test_without_apparmor_nothing_is_planned():
    result = plan(host=apparmor(enabled=False))
    assert result.empty
    assert "AppArmor is not enabled" in result.problems[0]


def test_only_names_what_no_node_has_and_what_the_file_lacks():
    problems = check_selection(
        fleet(ct910=DOCKER, ct955=DOCKER), Options(only=(910, 955, 999)), [node()]
    )
    assert problems == [
        "only=955: no node of this inventory has a container 955",
        "only=999: phoenix_lxc_configs.json has no lxc_configs.999: add it there",
    ]


def test_only_says_where_a_container_of_another_node_is():
    cluster = ObservedPct("pve1", elsewhere={955: "pve2"})
    assert check_selection(fleet(ct955=DOCKER), Options(only=(955,)), [cluster]) == [
        "only=955: it is on pve2, which this run does not reach: add that to PHOENIX_NODES, or "
        "bring it up"
    ]


def test_what_is_on_another_node_of_the_cluster_is_said_to_be_there():
    cluster = ObservedPct("pve1", elsewhere={955: "pve2"})
    note = absent_note(fleet(ct955=DOCKER, ct956=DOCKER), Options(), [cluster])
    assert note is not None
    assert note.endswith("on no node of this inventory: 955 (on pve2), 956")


def test_a_profile_that_lets_root_out_is_never_installed():
    templates = {"lxc-open.j2": "{{ marker }}\nprofile {{ name }} { change_profile, }\n"}
    entries = {"ct910": {**DOCKER, "apparmor_profile": "lxc-open"}}
    result = plan_node(
        fleet=fleet(**entries),
        options=Options(),
        facts=NodeFacts(containers=node(), apparmor=apparmor()),
        templates=templates,
    )
    assert not result.profiles
    assert "profile lxc-open: line 2: lets-out" in result.problems[0]


def test_what_the_file_has_and_no_node_is_one_line():
    both = fleet(ct910=DOCKER, ct955=DOCKER, ct956=DOCKER)
    assert absent_note(both, Options(), [node()]) == (
        "in phoenix_lxc_configs.json but on no node of this inventory: 955, 956"
    )
    assert absent_note(both, Options(only=(910,)), [node()]) is None


def test_workarounds_go_only_when_the_operator_says_so():
    conf = CONF.replace("unprivileged: 1\n", "unprivileged: 1\nlxc.cap.drop:\n")
    pct = node(container(conf=conf))
    for reconfine in (False, True):
        (change,) = plan(pct, options=Options(reconfine=reconfine)).containers
        assert ("lxc.cap.drop" in change.after.text) != reconfine


def test_a_features_line_that_nobody_can_read_is_a_problem_of_that_container_alone():
    odd = CONF.replace("nesting=1", "nesting=1,nesting=0")
    result = plan(node(container(conf=odd), container(952)), ct910=DOCKER, ct952=DOCKER)
    (problem,) = result.problems
    assert problem.startswith("pve1: CT 910 portainer: ")
    assert "duplicate 'nesting'" in problem
    assert [change.ctid for change in result.containers] == [952]
