"""What an operator reads."""

from dataclasses import replace

import pytest

from phoenix.apparmor.observed import Label
from phoenix.docker.install import Install
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.audit import AuditedContainer, NodeAudit
from phoenix.plan.creation import Creation, Dataset, Folder
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.reasons import Reason, Why
from phoenix.pve.conf import PveConf
from phoenix.report.terminal import audit_lines, plan_lines, result, result_lines, run_lines
from phoenix.runs.outcome import Ending, Outcome, read_outcome
from phoenix.runs.record import Change, RunRecord, Thing


def change(ctid, name, restart=True, reasons=("a", "b")):
    conf = PveConf("")
    why = tuple(Reason(Why.FEATURES, one) for one in reasons)
    return ContainerChange(ctid, name, conf, conf, None, restart, True, why)


def test_those_that_are_swapped_together_stand_last_where_they_come_last():
    changes = (
        change(910, "a", restart=False),
        change(952, "b"),
        change(953, "c", restart=False),
    )
    plan = NodePlan("pve1", containers=changes)

    def order(**how):
        return [line.split()[:2] for line in [*plan_lines(plan, **how)][2:]]

    assert order() == [["1", "952"], ["2", "910"], ["3", "953"]]
    # a snapshot is taken of each before its turn
    assert order(snapshots=True) == [["1", "910"], ["2", "952"], ["3", "953"]]


def test_a_plan_is_a_table_of_what_restarts_and_why_in_its_order():
    changes = (change(910, "portainer"), change(52, "db", restart=False, reasons=("c",)))
    plan = NodePlan(
        "pve1",
        containers=changes,
        findings=(Finding(Code.RULES_UNCHECKED, Severity.NOTE, "a note"),),
    )
    assert list(plan_lines(plan)) == [
        "pve1: a note",
        "pve1: 2 containers, one after another:",
        "#  CTID  NAME       RESTART  WHY",
        "1  910   portainer  yes      a; b",
        "2  52    db         no       c",
    ]
    assert list(plan_lines(NodePlan("pve1"))) == ["pve1: nothing to change"]


def test_what_is_made_is_a_table_and_each_command_as_a_shell_would_read_it():
    made = Creation(
        replace(change(970, "web"), label=Label("lxc-docker-nested", "enforce")),
        (("create", "970", "local:vztmpl/x.tar.zst", "--nameserver", "10.0.0.1 10.0.0.2"),),
        datasets=(Dataset("tank/data", 1024, (100000, 100000)), Dataset("tank/more")),
        folders=(Folder("/srv/my films", (100033, 100033)),),
        install=Install(driver="overlay2"),
    )
    source = Creation(change(971, "base"), (("clone", "900", "971"),), start=False, snapshot="s")
    assert list(plan_lines(NodePlan("pve1", creations=(made, source)))) == [
        "pve1: 2 containers to make, one after another:",
        "#  CTID  NAME  LABEL                        DOCKER            THEN",
        "1  970   web   lxc-docker-nested (enforce)  distro, overlay2  runs",
        "2  971   base  -                            -                 stopped, snapshot s",
        "CT 970: zfs create -p -o quota=1024 tank/data (for 100000:100000)",
        "CT 970: zfs create -p tank/more",
        "CT 970: mkdir '/srv/my films' (for 100033:100033)",
        "CT 970: pct create 970 local:vztmpl/x.tar.zst --nameserver '10.0.0.1 10.0.0.2'",
        "CT 971: pct clone 900 971",
    ]


def test_the_results_are_one_line_for_each_container():
    results = [(910, "portainer", "done"), (52, "db", "not begun")]
    assert list(result_lines("pve1", results)) == [
        "pve1: 2 containers:",
        "CTID  NAME       RESULT",
        "910   portainer  done",
        "52    db         not begun",
    ]


@pytest.mark.parametrize(
    ("said", "succeeded", "text"),
    [
        (["done"], True, "done"),
        (["changed: somebody changed the conf: nothing was changed"], True, "left as it was found"),
        # a rollback: the commit, then packages
        (["done", "removed: fuse-overlayfs"], True, "done; removed: fuse-overlayfs"),
        (["done", "kept: fuse3: x needs it"], True, "done; kept: fuse3: x needs it"),
        (["removed: fuse-overlayfs"], True, "removed: fuse-overlayfs"),
        # what an earlier run had begun went back, and nothing else is to do
        (["restored: the old conf"], True, "restored: the old conf"),
        # harden: packages, then the commit
        (["installed: fuse-overlayfs", "done"], True, "done"),
        (["refused: \x1b[2J"], False, "refused: \\x1b[2J"),
        (["changed: somebody changed it"], False, "refused: somebody changed it"),
        (["restored: the old conf"], False, "restored: the old conf"),
        (["failed: not healthy: look"], False, "failed: not healthy: look"),
        (["done"], False, "done, but the step was interrupted: run phoenix audit"),
        ([], True, "left as it was found"),
        ([], False, "failed or connection lost; the node may still be working: run phoenix audit"),
    ],
)
def test_what_became_of_a_container_is_what_its_steps_ended_with(said, succeeded, text):
    outcomes = [read_outcome(910, ["CT 910: ok", f"CT 910: {line}"]) for line in said]
    assert result(outcomes, succeeded).startswith(text)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["CT 9101: done"],
        ["CT 910: done", "CT 910: ok restarts (16 s)"],
        ["CT 910: done", "  a denial"],
        ["CT 910: donezo"],
        ["x CT 910: done"],
    ],
)
def test_only_a_last_line_about_that_container_is_an_outcome(lines):
    assert read_outcome(910, lines) is None


def test_what_a_guest_or_a_conf_says_moves_no_cursor():
    bad = "\x1b[2J\n\u202e\x9b"
    found = Finding(Code.GUEST, Severity.WARNING, bad, 910, bad, bad)
    row = AuditedContainer(
        node="pve1",
        ctid=910,
        name=bad,
        wanted="lxc-a",
        label=f"lxc-{bad} (enforce)",
        docker=bad,
        state="confined",
        findings=(found,),
    )
    plan = NodePlan("pve1", containers=(change(910, bad, reasons=(bad,)),), findings=(found,))
    told = replace(found, code=Code.FELL_OVER)
    stops = replace(found, severity=Severity.ERROR)
    lines = [
        *audit_lines([NodeAudit("pve1", (row,), (found, told, stops))]),
        *plan_lines(plan),
        *result_lines("pve1", [(910, bad, bad)]),
        result([Outcome(Ending.REFUSED, bad)], succeeded=False),
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
        f"{RUNS[2]} pve1 rollback of {RUNS[1]} CT 910",
        f"{RUNS[1]} pve1 rolled back CT 910",
        f"{RUNS[0]} pve1 done CT 910",
    ]
    assert "  at work  CT 910" in list(run_lines({"pve1": [cut]}, {cut.id}))[1]


def test_nodes_without_runs_say_so():
    assert list(run_lines({"pve1": []})) == ["no run has left a journal on these nodes"]


def test_why_packages_stay_is_cut_for_it_may_be_a_guests_own_words():
    outcomes = [Outcome(Ending.DONE), Outcome(Ending.KEPT, f"fuse3: \x1b[2J{'x' * 5000}")]
    text = result(outcomes, succeeded=True)
    assert text.startswith("done; kept: fuse3: \\x1b[2Jxxx")
    assert len(text) < 200
