"""A rollback finds what a run left of a container that has moved where it was written."""

import hashlib
from dataclasses import replace

import pytest

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.plan.findings import Code
from phoenix.plan.gathered import gathered
from phoenix.plan.options import Options
from phoenix.plan.rollback import Node, plan_rollback
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.runs.files import RunFiles
from phoenix.runs.record import NONE, Change, RunRecord, Thing

RUN, LATER = "r20261122T013000Z-beef", "r20261123T013000Z-cafe"
OLD = "hostname: a\nlxc.apparmor.profile: unconfined\n"
NEW = "hostname: a\nlxc.apparmor.profile: lxc-docker-nested\n"
CONF = Thing("/etc/pve/lxc/910.conf", 910)
FILE = Thing("/etc/apparmor.d/lxc-docker-nested")


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


CHANGE = Change(CONF, sha(OLD), sha(NEW), "done", planned=sha(NEW))


def pct(name, confs, **elsewhere):
    here = {
        ctid: ObservedContainer(ctid, PveConf.parse(conf), True, 4711, "x (enforce)", None, name)
        for ctid, conf in confs.items()
    }
    return ObservedPct(name, here, {int(one[2:]): place for one, place in elsewhere.items()})


def writer(*changes, **more):
    """pve1, on which the run was, and which CT 910 has left."""
    record = RunRecord(RUN, changes or (CHANGE,), format=more.pop("format", 2))
    staged = {910: {"conf": NEW, "before": sha(OLD), "docker": ""}}
    kept = RunFiles(files={sha(OLD): OLD}, staged=staged)
    runs = (record, *more.pop("later", ()))
    return Node(runs, kept, pct("pve1", {}, ct910="pve2"), ObservedAppArmor(), **more)


def owner(conf=NEW, runs=(), name="pve2"):
    return Node(runs, RunFiles(), pct(name, {910: conf}), ObservedAppArmor())


def plans(*nodes, **options):
    found = gathered(RUN, dict(enumerate(nodes)))
    return [plan_rollback(RUN, Options(**options), one) for one in found.values()]


def test_the_conf_goes_back_where_the_container_is_by_what_the_other_node_kept():
    left, right = plans(writer(), owner())
    assert (left.containers, left.findings) == ((), ())
    (change,) = right.containers
    assert (change.ctid, change.before.text, change.after.text) == (910, NEW, OLD)
    assert (change.restart, change.docker) == (True, True)
    assert right.notes == ("CT 910: changed on pve1, it goes back by what is kept there",)


def test_the_nodes_own_files_stay_with_it():
    profile = Change(FILE, NONE, sha("p"), "done")
    first = writer(profile, CHANGE)
    left, right = gathered(RUN, {1: first, 2: owner()}).values()
    assert [one.thing for one in left.runs[0].changes] == [FILE]
    assert [one.thing for one in right.runs[0].changes] == [CONF]


def test_an_image_that_is_not_whole_is_not_put_anywhere():
    first = writer()
    broken = replace(first, run_files=replace(first.run_files, files={sha(OLD): "something else"}))
    _, right = plans(broken, owner())
    assert right.containers == ()
    assert any("is not whole" in one for one in right.problems)


def test_what_somebody_changed_there_since_is_kept_by_the_same_rules():
    _, right = plans(writer(), owner(conf=NEW + "memory: 512\n"))
    assert right.containers[0].after.text == OLD + "memory: 512\n"
    _, refused = plans(writer(), owner(conf=NEW.replace("docker-nested", "mine")))
    assert any("lxc.apparmor.profile is lxc-mine now" in one for one in refused.problems)


def test_a_later_run_on_its_new_node_stands_in_the_way():
    last = "hostname: a\nlxc.apparmor.profile: lxc-docker-strict\n"
    later = RunRecord(LATER, (Change(CONF, sha(NEW), sha(last), "done"),), format=2)
    _, right = plans(writer(), owner(conf=last, runs=(later,)))
    assert right.containers == ()
    assert any(f"run {LATER} changed it later" in one for one in right.problems)


def test_and_so_does_a_later_one_on_the_old_node():
    last = "hostname: a\nlxc.apparmor.profile: lxc-docker-strict\n"
    later = RunRecord(LATER, (Change(CONF, sha(NEW), sha(last), "done"),), format=2)
    _, right = plans(writer(later=(later,)), owner(conf=last))
    assert any(f"run {LATER} changed it later" in one for one in right.problems)


def test_undone_twice_it_is_as_it_was():
    _, right = plans(writer(), owner(conf=OLD))
    assert right.containers == ()


def test_what_goes_is_only_what_is_asked_for():
    left, right = plans(writer(), owner(), only="952")
    assert (left.empty, right.empty, right.notes) == (True, True, ())


@pytest.mark.parametrize(
    ("first", "others", "why"),
    [
        (writer(), [owner(name="pve3")], "undo the run on both nodes at once"),
        (writer(), [owner(), owner()], "several nodes of this run have that name"),
        (writer(format=1), [owner()], "older version"),
        (writer(replace(CHANGE, before=NONE)), [owner()], "this run has made it"),
        (
            writer(),
            [owner(runs=(RunRecord(RUN, (CHANGE,), format=2),))],
            "this run has changed it there as well",
        ),
    ],
)
def test_what_cannot_go_back_is_left_with_where_it_is_and_what_to_do(first, others, why):
    left = plans(first, *others, force="created")[0]
    (found,) = (one for one in left.findings if one.code is Code.GONE)
    assert found.message == "on pve2 now, left alone"
    assert why in found.fix
    assert why in left.alone[910]


def test_what_was_cut_short_is_recovered_first_where_it_was_written():
    first = writer(replace(CHANGE, outcome="open"))
    left, right = gathered(RUN, {1: first, 2: owner()}).values()
    assert left.runs == first.runs
    assert right.runs == ()
