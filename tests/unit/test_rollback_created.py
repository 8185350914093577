"""What undoing a run does with the containers that it has made."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.docker.names import DAEMON_JSON
from phoenix.docker.observed import ObservedDocker
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.plan.rollback import Node, plan_rollback
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.report.plan import plan_data
from phoenix.report.terminal import plan_lines
from phoenix.runs.files import RunFiles
from phoenix.runs.journal import read_journal

RUN, LATER = "r20261128T010000Z-beef", "r20261128T020000Z-beef"
CONF = "hostname: web\nunprivileged: 1\nlxc.apparmor.profile: lxc-docker-nested\n"
TIME = {"time": "2026-11-28T01:00:00Z"}
REQUEST = {"datasets": [{"name": "tank/web"}], "folders": [{"path": "/srv/web"}]}


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def of_conf(event, ctid=970, **keys):
    return {"ctid": ctid, "event": event, "file": f"/etc/pve/lxc/{ctid}.conf", **keys}


def made(ctid=970, end="done"):
    lines = [of_conf("intent", ctid, before="none", after=sha("planned"), ours="none")]
    found = {"done": {"after": sha(CONF)}, "restored": {"after": "none"}, "failed": {}}
    return lines + ([of_conf(end, ctid, **found[end])] if end else [])


FILE = {"ctid": 970, "file": DAEMON_JSON}
DRIVERS = {"driver_before": "", "driver": "fuse-overlayfs"}
INSTALLED = [
    {"ctid": 970, "event": "intent", "packages": "docker.io"},
    {"ctid": 970, "event": "done", "packages": "docker.io"},
    {**FILE, "event": "intent", "before": "none", "after": sha("{}"), **DRIVERS},
    {**FILE, "event": "done", "after": sha("{}")},
]


def record(*lines, run=RUN, journal_format=2):
    begin = [{"event": "begin", "format": 2}] if journal_format == 2 else []
    return read_journal(run, [json.dumps({**TIME, **line}) for line in (*begin, *lines)])


def plan(*lines, conf=CONF, confs=None, runs=(), elsewhere=None, running=True, ha=None, **options):
    confs = {970: conf} if confs is None else confs
    seen = {
        ctid: ObservedContainer(
            ctid=ctid,
            conf=PveConf(text),
            running=running,
            pid=1 if running else None,
            label=None,
            ha=ha,
            node="pve1",
        )
        for ctid, text in confs.items()
    }
    staged = {ctid: {"create.json": json.dumps(REQUEST)} for ctid in (970, 971)}
    node = Node(
        [record(*(lines or made())), *runs],
        RunFiles(staged=staged),
        ObservedPct("pve1", seen, elsewhere or {}),
        ObservedAppArmor(),
        {970: ObservedDocker("ok", manager="apt", packages={"docker.io": "ii"})},
    )
    return plan_rollback(RUN, Options(**options), node)


def test_with_force_created_what_is_as_the_run_left_it_is_destroyed():
    done = plan(force="created")
    (goes,) = done.destructions
    assert (goes.ctid, goes.name, goes.running) == (970, "web", True)
    assert goes.before.text == CONF
    assert (done.problems, done.containers) == ((), ())


@pytest.mark.parametrize("force", [False, "pending,conflicts", True])
def test_without_that_word_it_is_refused_with_the_way(force):
    done = plan(force=force)
    (found,) = done.findings
    assert (found.code, found.severity) == (Code.CREATED, Severity.ERROR)
    assert found.fix == "if that is meant: --data force=created"
    assert done.empty


def test_one_that_somebody_changed_since_is_refused_whatever_is_forced():
    done = plan(conf=f"{CONF}lxc.cap.drop: mknod\n", force="created,conflicts,pending")
    (found,) = done.findings
    assert (found.code, done.empty) == (Code.CONFLICT, True)
    assert "whatever is forced" in found.message
    assert sha(CONF)[:12] in found.message


def test_what_a_later_run_changed_is_undone_first():
    new = f"{CONF}lxc.cap.drop: mknod\n"
    later = record(
        of_conf("intent", before=sha(CONF), after=sha(new), ours="none"),
        of_conf("done", after=sha(new)),
        run=LATER,
    )
    done = plan(conf=new, runs=[later], force="created")
    assert done.problems == (
        f"pve1: CT 970 web: run {LATER} changed it later: roll that back first, "
        f"with --data run={LATER}",
    )
    # and then it is as this one left it
    assert plan(runs=[later], force="created").destructions


@pytest.mark.parametrize(
    ("line", "code", "fix"),
    [
        ("lock: backup", Code.LOCKED, "run again when the lock is gone"),
        ("template: 1", Code.TEMPLATE, ""),
        ("protection: 1", Code.CONFLICT, "pct set 970 --protection 0"),
    ],
)
def test_one_that_is_not_to_be_destroyed_is_refused(line, code, fix):
    conf = f"{line}\n{CONF}"
    lines = [*made()[:1], of_conf("done", after=sha(conf))]
    done = plan(*lines, conf=conf, force="created")
    (found,) = done.findings
    assert (found.code, found.severity, found.fix) == (code, Severity.ERROR, fix)
    assert done.empty


@pytest.mark.parametrize("state", ["started", "ignored", "disarmed"])
def test_one_that_ha_knows_is_refused(state):
    done = plan(ha=state, force="created")
    (found,) = done.findings
    assert (found.code, done.empty) == (Code.HA, True)


def test_undoing_it_twice_is_nothing():
    done = plan(confs={}, force="created")
    assert done.empty
    assert done.notes == ("CT 970: gone, left alone",)
    assert plan(confs={}).problems == ()


def test_one_that_was_made_anew_with_the_same_conf_is_not_the_one_of_the_earlier_run():
    destroyed = [
        of_conf("intent", before=sha(CONF), after="none", ours="none"),
        of_conf("done", after="none"),
    ]
    undone = record(*destroyed, run="r20261128T013000Z-beef")
    again = record(*made(), run=LATER)
    for runs in ([undone], [again], [undone, again]):
        done = plan(runs=runs, force="created,conflicts")
        (found,) = done.findings
        assert (found.code, done.empty) == (Code.CONFLICT, True)
        assert f"run {runs[-1].id} made or destroyed one of this id since" in found.message


def test_a_later_making_that_came_to_nothing_is_none():
    assert plan(runs=[record(*made(end="restored"), run=LATER)], force="created").destructions


def test_one_that_moved_to_another_node_is_left_there():
    done = plan(confs={}, elsewhere={970: "pve2"}, force="created")
    assert done.empty
    assert done.alone[970].startswith("on pve2 now, left alone: ")


@pytest.mark.parametrize("end", ["restored", ""])
def test_one_that_came_to_nothing_has_nothing_to_undo_whoever_has_the_number_now(end):
    done = plan(*made(end=end), *INSTALLED, conf="hostname: another\n", force="created")
    assert (done.empty, done.findings) == (True, ())


def test_one_that_the_run_did_not_finish_is_left_to_its_owner():
    done = plan(*made(end="failed"), force="created")
    assert (done.empty, [one.code for one in done.findings]) == (True, [Code.CONFLICT])


def test_what_came_into_it_goes_with_it():
    done = plan(*made(), *INSTALLED, force="created")
    assert len(done.destructions) == 1
    assert (done.removals, done.containers) == ((), ())


def test_those_that_were_made_later_go_first():
    done = plan(*made(), *made(971), confs={970: CONF, 971: CONF}, force="created")
    assert [goes.ctid for goes in done.destructions] == [971, 970]


def test_only_takes_its_own():
    done = plan(*made(), *made(971), confs={970: CONF, 971: CONF}, only="971", force="created")
    assert [goes.ctid for goes in done.destructions] == [971]


def test_a_journal_in_which_a_guest_had_a_word_makes_no_container():
    lines = [*made()[:1], of_conf("done", after=sha(CONF))]
    node_record = record(*lines, journal_format=1)
    seen = ObservedContainer(970, PveConf(CONF), True, 1, None, None, "pve1")
    node = Node([node_record], RunFiles(), ObservedPct("pve1", {970: seen}), ObservedAppArmor())
    done = plan_rollback(RUN, Options(force="created"), node)
    assert done.destructions == ()
    assert [one.code for one in done.findings] == [Code.CONFLICT]


def test_the_plan_says_what_goes_and_what_stays():
    done = plan(force="created")
    assert [*plan_lines(done)] == [
        "pve1: CT 970 web: shut down and destroyed, with its disks; these stay: tank/web, /srv/web"
    ]


def test_the_plan_as_data_has_it_too():
    data = plan_data([plan(force="created")], RUN, "rollback", datetime.now(UTC))
    (action,) = data["nodes"][0]["actions"]
    assert (action["action"], action["ctid"]) == ("destroy", 970)
    assert action["diff"][1:] == [f"-{line}" for line in CONF.splitlines()]


@pytest.mark.parametrize("text", ["", "[", "[]", '{"datasets": 1}', '{"datasets": [1]}'])
def test_a_broken_request_costs_no_more_than_the_note(text):
    record_ = record(*made())
    seen = ObservedContainer(970, PveConf(CONF), True, 1, None, None, "pve1")
    files = RunFiles(staged={970: {"create.json": text}})
    node = Node([record_], files, ObservedPct("pve1", {970: seen}), ObservedAppArmor())
    (goes,) = plan_rollback(RUN, Options(force="created"), node).destructions
    assert goes.stays == ()
