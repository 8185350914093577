"""What an operator reads."""

import json
from dataclasses import replace

import pytest

from phoenix.apparmor.observed import HOOK
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.options import Options
from phoenix.plan.profiles import OwnFileChange
from phoenix.pve.conf import PveConf
from phoenix.pve.managed import Ours
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.report.terminal import (
    audit_lines,
    audit_node,
    node_lines,
    outcome,
    plan_lines,
    result_lines,
    run_lines,
)
from phoenix.runs.record import Change, RunRecord, Thing

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
LEARN = "complain"
STACKED = {**DOCKER, "apparmor_stacking": True}
CONF = "hostname: portainer\nunprivileged: 1\n"
NS = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"
OK = ObservedDocker("ok", "26.1.5", "overlay2")


def container(label="lxc-docker-nested (enforce)", conf=CONF):
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


def test_a_clone_that_has_the_own_profile_of_another_one_is_a_finding():
    own = {**DOCKER, "apparmor_allows": ["guest-mounts"]}
    fleet = parse_fleet(json.dumps({"lxc_configs": {"952": own}}).encode())
    conf = f"{CONF}lxc.apparmor.profile: lxc-docker-nested-952\n"
    for label in ("lxc-docker-nested-952 (enforce)", None):
        here = {910: container(label, conf)}
        (found,) = audit_node(fleet, Options(), ObservedPct("pve1", here), {}, NodePlan("pve1"))
        assert (found.ok, found.verdict) == (
            False,
            "under the own profile of CT 952, with all that it grants",
        )
    found = finding(container("lxc-docker-nested-910 (enforce)"), {**DOCKER, "apparmor_own": True})
    assert found.ok


NAMED = f"{CONF}lxc.apparmor.profile: lxc-docker-nested\n"
PROVEN = Ours(profile="lxc-docker-nested").render()


@pytest.mark.parametrize(
    ("label", "conf", "why"),
    [
        ("unconfined", f"{CONF}lxc.apparmor.profile: unconfined\n", "its conf says unconfined"),
        (None, CONF, "its conf says generated"),
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


PRIVILEGED = "hostname: portainer\n"
MAPPED = f"{CONF}lxc.idmap: u 0 0 65536\n"


@pytest.mark.parametrize("conf", [PRIVILEGED, MAPPED], ids=["conf", "ids"])
@pytest.mark.parametrize(
    ("label", "entry", "drift"),
    [
        ("lxc-docker-nested (enforce)", DOCKER, ()),
        (f"{NS} (enforce)", STACKED, ()),
        ("unconfined", DOCKER, ("profile: a becomes b",)),
        (None, DOCKER, ()),
    ],
)
def test_a_privileged_container_of_a_named_profile_is_a_finding_whatever_its_label(
    conf, label, entry, drift
):
    found = finding(container(label, conf), entry, drift=drift)
    assert not found.ok
    assert found.verdict.startswith("privileged: root in it is root of the node, which no profile")
    assert "pct restore with --unprivileged 1" in found.verdict


def test_the_generated_profile_of_a_privileged_container_is_not_said_to_hold_it():
    entry = {**DOCKER, "apparmor_profile": "generated"}
    label = "lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    found = finding(container(label, PRIVILEGED), entry)
    assert found.ok
    assert found.verdict == "confined, but privileged: root in it is root of the node"
    stopped = finding(container(None, PRIVILEGED), entry, docker=None)
    assert stopped.verdict.endswith("right, but privileged: root in it is root of the node")


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
        # a rollback: the commit, then packages
        (["ok restarts", "done", "removed: fuse-overlayfs"], True, "done; removed: fuse-overlayfs"),
        (["done", "fuse3 stays: x needs it"], True, "done; fuse3 stays: x needs it"),
        (["removed: fuse-overlayfs"], True, "removed: fuse-overlayfs"),
        # harden: packages, then the commit
        (["installed: fuse-overlayfs", "ok restarts", "done"], True, "done"),
        (["refused: \x1b[2J"], False, "refused: \\x1b[2J"),
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
    plan = NodePlan("pve1", own_files=(OwnFileChange(HOOK, None, "new"),))
    assert list(plan_lines(plan)) == list(node_lines(plan))
    assert list(node_lines(plan)) == [
        "pve1: /usr/local/lib/phoenix-harden/namespace: missing: stacked containers start by it"
    ]


def test_what_a_guest_or_a_conf_says_moves_no_cursor():
    bad = "\x1b[2J\n\u202e\x9b"
    observed = container(f"lxc-{bad} (enforce)", f"hostname: {bad}\n")
    plan = NodePlan("pve1", containers=(change(910, bad, reasons=(bad,)),), notes=(bad,))
    lines = [
        *audit_lines([finding(observed, docker=ObservedDocker("dead", error=bad))]),
        *plan_lines(plan),
        *result_lines("pve1", [(910, bad, bad)]),
        outcome(910, [f"CT 910: refused: {bad}"], succeeded=False),
    ]
    assert all(line.isprintable() for line in lines)


RUNS = [f"r20261122T0{hour}0000Z-beef" for hour in range(1, 5)]
CHANGED = (Change(Thing("/etc/pve/lxc/910.conf", 910), "a" * 64, "b" * 64, "done"),)


def test_the_list_shows_the_newest_run_first_and_what_became_of_each():
    done, undone, undo = (RunRecord(run, CHANGED) for run in RUNS[:3])
    cut = RunRecord(RUNS[3], (replace(CHANGED[0], outcome="open"),))
    runs = [done, undone, replace(undo, undoes=undone.id), cut]
    assert [" ".join(line.split()) for line in run_lines({"pve1": runs})] == [
        "RUN NODE STATE CHANGED",
        f"{RUNS[3]} pve1 interrupted CT 910",
        f"{RUNS[2]} pve1 undid {RUNS[1]} CT 910",
        f"{RUNS[1]} pve1 rolled back CT 910",
        f"{RUNS[0]} pve1 done CT 910",
    ]
    assert "  at work  CT 910" in list(run_lines({"pve1": [cut]}, {cut.id}))[1]


def test_nodes_without_runs_say_so():
    assert list(run_lines({"pve1": []})) == ["no run has left a journal on these nodes"]


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        ("lxc-docker-nested (enforce)", "confined, but its Docker lies; left alone"),
        ("unconfined", "runs as unconfined, not lxc-docker-nested (enforce); its Docker lies; l"),
    ],
)
def test_a_fault_of_a_guest_is_its_containers_finding(label, verdict):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": DOCKER}}).encode())
    plan = NodePlan("pve1", alone={910: "its Docker lies; left alone"})
    pct = ObservedPct("pve1", {910: container(label)})
    (found,) = audit_node(fleet, Options(), pct, {910: OK}, plan)
    assert not found.ok
    assert found.verdict.startswith(verdict)


@pytest.mark.parametrize("state", ["failed", "flooded"])
def test_a_guest_that_cannot_be_asked_and_that_no_plan_is_about_is_a_finding_too(state):
    found = finding(container(), docker=ObservedDocker(state, error="its Docker lies"))
    assert (found.ok, found.verdict) == (False, "confined, but its Docker lies: look there")


def test_why_packages_stay_is_cut_for_it_may_be_a_guests_own_words():
    lines = ["CT 910: done", f"CT 910: fuse3 stays: \x1b[2J{'x' * 5000}"]
    result = outcome(910, lines, succeeded=True)
    assert result.startswith("done; fuse3 stays: \\x1b[2Jxxx")
    assert len(result) < 160
