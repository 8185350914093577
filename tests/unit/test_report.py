"""What an operator reads."""

import json
from dataclasses import replace

import pytest

from phoenix.changes import ContainerChange, NodePlan
from phoenix.config import parse_fleet
from phoenix.docker import ObservedDocker
from phoenix.observed import ObservedContainer, ObservedPct
from phoenix.options import Options
from phoenix.ours import Ours
from phoenix.profile_plan import HookChange
from phoenix.pve_conf import PveConf
from phoenix.report import (
    audit_lines,
    audit_node,
    node_lines,
    outcome,
    plan_lines,
    result_lines,
)

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
LEARN = "complain"
STACKED = {**DOCKER, "apparmor_stacking": True}
NS = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"
OK = ObservedDocker("ok", "26.1.5", "overlay2")


def container(label="lxc-docker-nested (enforce)", conf="hostname: portainer\n"):
    return ObservedContainer(910, PveConf(conf), label is not None, 1, label, None, "pve1")


def finding(observed, entry=DOCKER, docker=OK, drift=()):
    configs = {"910": entry} if entry else {}
    fleet = parse_fleet(json.dumps({"lxc_configs": configs}).encode())
    conf = observed.conf
    change = ContainerChange(910, "portainer", conf, conf, None, True, True, drift)
    plan = NodePlan("pve1", containers=(change,) if drift else ())
    pct = ObservedPct("pve1", {910: observed})
    (found,) = audit_node(fleet, Options(), pct, {910: docker} if docker else {}, plan)
    return found


def test_a_confined_container_with_a_living_docker_is_ok():
    found = finding(container())
    assert (found.ok, found.verdict, found.docker) == (True, "confined", "26.1.5 overlay2")


@pytest.mark.parametrize(
    ("found", "ok", "verdict"),
    [
        (
            finding(container("unconfined"), drift=("profile: a becomes b",)),
            False,
            "drift: profile",
        ),
        (finding(container("lxc-docker-nested (complain)")), False, "runs as lxc-docker-nested (c"),
        (
            finding(container("unconfined"), {**DOCKER, "apparmor_profile": "unconfined"}),
            False,
            "unconfined on request: phoenix adopt",
        ),
        (
            finding(container("unconfined"), entry=None),
            False,
            "not in phoenix_lxc_configs.json: add",
        ),
        (finding(container(), entry=None), True, "not in phoenix_lxc_configs.json"),
        (
            finding(container("lxc-docker-nested-complain (complain)"), {**DOCKER, "mode": LEARN}),
            False,
            "learning: complain mode; harden without it when done",
        ),
        (
            finding(container(None), {**DOCKER, "mode": LEARN}, docker=None),
            False,
            "learning: complain mode",
        ),
        # also where this audit was not told of --data mode=complain
        (
            finding(container("lxc-docker-nested-complain (complain)"), drift=("profile: a",)),
            False,
            "learning: complain mode",
        ),
        (finding(container(f"{NS} (enforce)"), STACKED), True, "confined"),
        (
            finding(container("lxc-docker-nested-ns (enforce)"), STACKED),
            False,
            f"runs as lxc-docker-nested-ns (enforce), not {NS} (enforce)",
        ),
        (finding(container(f"{NS} (complain)"), STACKED), False, f"runs as {NS} (complain), not"),
        (finding(container(None), docker=None), True, "stopped; its conf is right"),
        (finding(container(None, "template: 1\n"), docker=None), True, "template"),
        (
            finding(container(), docker=ObservedDocker("hung")),
            False,
            "confined, but Docker is hung",
        ),
    ],
)
def test_each_state_has_a_verdict_that_says_what_to_do(found, ok, verdict):
    assert found.ok == ok
    assert found.verdict.startswith(verdict)


NAMED = "hostname: portainer\nlxc.apparmor.profile: lxc-docker-nested\n"
PROVEN = Ours(profile="lxc-docker-nested").render()


@pytest.mark.parametrize(
    ("label", "conf", "why"),
    [
        ("unconfined", "lxc.apparmor.profile: unconfined\n", "its conf says unconfined"),
        (None, "hostname: portainer\n", "its conf says generated"),
        ("unconfined", NAMED, "PID 1 runs as unconfined"),
    ],
    ids=["rolled back", "restored and stopped", "profile unloaded"],
)
def test_what_our_run_has_confined_and_is_not_any_more_is_told_apart_from_drift(label, conf, why):
    observed = replace(container(label, conf), ours=PROVEN)
    found = finding(observed, drift=("profile: unconfined becomes lxc-docker-nested",))
    assert not found.ok
    assert found.verdict == (
        f"fell out of confinement, as after a rollback or restore: {why}: "
        "pyinfra inventory.py deploys/harden.py --data only=910"
    )


def test_a_fleet_file_that_names_another_profile_now_is_drift():
    observed = replace(container(conf=NAMED), ours=PROVEN)
    entry = {**DOCKER, "apparmor_profile": "lxc-phoenix-v2"}
    assert finding(observed, entry, drift=("profile: a becomes b",)).verdict.startswith("drift")


def test_a_stacked_container_has_not_fallen_out():
    label = "lxc-docker-nested//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    conf = NAMED.replace("nested", "nested//&:lxc-910_<-var-lib-lxc>:unconfined")
    assert finding(replace(container(label, conf), ours=PROVEN)).ok


def test_the_table_has_a_column_of_nodes_only_where_there_are_several():
    one = finding(container())
    head, row, total = audit_lines([one])
    assert head.split() == ["CTID", "NAME", "WANTED", "LIVE", "LABEL", "DOCKER", "VERDICT"]
    assert "lxc-docker-nested (enforce)  26.1.5 overlay2  ok  confined" in row
    assert total == "1 container, 0 to look at"


def change(ctid, name, restart=True, reasons=("a", "b")):
    conf = PveConf("")
    return ContainerChange(ctid, name, conf, conf, None, restart, True, reasons)


def test_a_plan_is_a_table_of_what_restarts_and_why_in_its_order():
    changes = (change(910, "portainer"), change(52, "db", restart=False, reasons=("c",)))
    plan = NodePlan("pve1", containers=changes, notes=("a note",))
    assert list(plan_lines(plan)) == [
        "pve1: a note",
        "pve1: 2 containers, one after another:",
        "#  CTID  NAME       RESTART  WHY",
        "1  910   portainer  yes      a; b",
        "2  52    db         no       c",
    ]
    assert list(plan_lines(NodePlan("pve1"))) == ["pve1: nothing to change"]


def test_the_results_are_one_line_for_each_container():
    results = [(910, "portainer", "done"), (52, "db", "not begun")]
    assert list(result_lines("pve1", results)) == [
        "pve1: 2 containers:",
        "CTID  NAME       RESULT",
        "910   portainer  done",
        "52    db         not begun",
    ]


@pytest.mark.parametrize(
    ("said", "succeeded", "result"),
    [
        (["ok restarts (16 s)", "done"], True, "done"),
        (["somebody changed the conf: nothing was changed", "done"], True, "done"),
        (["somebody changed the conf: nothing was changed"], True, "left as it was found"),
        (["refused: another run works"], False, "refused: another run works"),
        (["somebody changed it: nothing was changed"], False, "refused: somebody changed it: n"),
        (["puts the old state back", "restored: the old conf"], False, "restored: the old conf"),
        (["puts the old state back", "not healthy: look"], False, "failed: not healthy: look"),
        (["ok restarts (16 s)"], False, "failed or cut off, the node may still be at it: "),
        ([], False, "failed or cut off, the node may still be at it: "),
    ],
)
def test_what_became_of_a_container_is_what_its_script_said_last(said, succeeded, result):
    lines = [*(f"CT 910: {line}" for line in said), "CT 9101: done", "  a denial"]
    assert outcome(910, lines, succeeded).startswith(result)


def test_a_missing_script_for_namespaces_is_a_line_of_the_plan_and_of_the_audit():
    plan = NodePlan("pve1", hook=HookChange(None, "new"))
    assert list(plan_lines(plan)) == list(node_lines(plan))
    assert list(node_lines(plan)) == [
        "pve1: /usr/local/lib/phoenix-harden/namespace: missing: stacked containers start by it"
    ]
