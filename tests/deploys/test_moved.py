"""Containers that move to another node between the survey and their turn."""

import json
import re

import pytest
from fake_node import CONF, FakeNode, docker, journal
from fakes import InTurn
from test_rollback import KEPT, NEW, OLD, RUN, sha

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
MOVED = "CT 910: changed: it is on pve2 now: nothing was changed"


def conf(ctid, text=CONF):
    return text.format(name=f"ct{ctid}")


def pve(name, *ctids, later=None, **facts):
    return FakeNode(
        name, {ctid: conf(ctid) for ctid in ctids}, later=later and pve(name, **later), **facts
    )


def left(*others, place="pve2", **facts):
    """The node that CT 910 has left by its turn; `others` stay."""
    there = {910: conf(910)} | {ctid: conf(ctid) for ctid in others}
    later = FakeNode("pve1", {ctid: conf(ctid) for ctid in others}, elsewhere={"910": place})
    moved = {"stdout": MOVED.replace("pve2", place)}
    responses = {**facts.pop("responses", {}), "commit CT 910": moved}
    return FakeNode("pve1", there, later=later, responses=responses, **facts)


def come(*others, text=CONF, **facts):
    """The node that has it by then."""
    mine = {ctid: conf(ctid) for ctid in others}
    later = FakeNode("pve2", {910: conf(910, text), **mine})
    return FakeNode("pve2", mine, elsewhere={"910": "pve1"}, later=later, **facts)


def sent(done):
    """The units, each with the node that was sent it."""
    found = re.findall(r"\[@fake/(\w+)\] >>> .*--unit=phoenix-harden-(\S+)", done.stderr)
    return [(node, unit.partition("-")[2].partition("-")[2]) for node, unit in found]


def test_it_is_planned_and_changed_where_it_is_in_its_own_turn(pyinfra):
    fleet = {str(ctid): DOCKER for ctid in (910, 911)}
    done = pyinfra("harden", left(911), come(), fleet=fleet)
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve1", "910"), ("pve2", "910"), ("pve1", "911")]
    assert "CT 910: it is on pve2 now and planned anew there" in done.stderr
    staged = [one for one in done.stderr.split(">>> ") if "main(sys.argv[1:]))\n' stage r" in one]
    assert len(staged) == 2
    assert re.search(r"910   ct910  on pve2 now: ", done.stderr)


def test_both_nodes_journals_are_of_the_same_run(pyinfra):
    done = pyinfra("harden", left(), come(), fleet={"910": DOCKER})
    runs = {*re.findall(r"--unit=phoenix-harden-(r\w+-\w+)-910", done.stderr)}
    assert len(runs) == 1


def test_it_is_done_by_the_rules_of_its_new_node(pyinfra):
    node = come()
    node.host = lambda: (lambda name, data: (name, {**data, "_sudo": True}))(*FakeNode.host(node))
    done = pyinfra("harden", left(), node, fleet={"910": DOCKER})
    assert done.code == 0, done.stderr
    commits = [one for one in done.stderr.splitlines() if ">>> " in one and "commit CT 910" in one]
    assert len(commits) == 2


def test_its_failure_there_stops_all(pyinfra):
    fleet = {str(ctid): DOCKER for ctid in (910, 911, 920)}
    failing = {"commit CT 910": {"success": False, "stdout": "CT 910: restored: as it was"}}
    done = pyinfra("harden", left(911), come(920, responses=failing), fleet=fleet)
    assert done.code == 1
    assert sent(done) == [("pve1", "910"), ("pve2", "910")]
    assert "910   ct910  on pve2 now: restored: as it was" in done.stderr
    assert "911   ct911  not begun" in done.stderr
    assert "920   ct920  not begun" in done.stderr


def test_one_that_is_as_wanted_there_is_left_as_it_is(pyinfra):
    wanted = CONF.replace("unconfined", "lxc-docker-nested").replace(
        "features: nesting=1", "features: nesting=1,keyctl=1"
    )
    node = come(text=wanted)
    node.later.label = "lxc-docker-nested (enforce)"
    done = pyinfra("harden", left(), node, fleet={"910": DOCKER})
    assert done.code == 0, done.stderr
    assert ("pve2", "910") not in sent(done)
    assert "on pve2 now: left as it was found" in done.stderr


def test_on_a_node_that_is_not_in_the_run_it_is_left_and_told_with_what_to_do(pyinfra):
    fleet = {str(ctid): DOCKER for ctid in (910, 920)}
    done = pyinfra("harden", left(place="pve9"), pve("pve2", 920), fleet=fleet)
    assert done.code == 1
    assert sent(done) == [("pve1", "910")]
    assert (
        "910   ct910  refused: it is on pve9 now: nothing was changed: this run does not reach "
        "that: add it to PHOENIX_NODES, or bring it up, and run again"
    ) in done.stderr
    assert "920   ct920  not begun" in done.stderr


def test_what_stands_against_it_there_is_told(pyinfra):
    node = come(text=CONF + "lock: migrate\n")
    done = pyinfra("harden", left(), node, fleet={"910": DOCKER})
    assert done.code == 1
    assert ("pve2", "910") not in sent(done)
    assert "on pve2 now: refused: pve2: CT 910 ct910: left alone: locked (migrate)" in done.stderr


def test_one_that_goes_on_moving_is_told(pyinfra):
    done = pyinfra("harden", left(), pve("pve2", 920), fleet={"910": DOCKER, "920": DOCKER})
    assert done.code == 1
    assert "910   ct910  refused: it goes on moving: run again when it stays" in done.stderr


def test_one_whose_conf_is_gone_is_told(pyinfra):
    node = left()
    node.later.elsewhere = {}
    done = pyinfra("harden", node, come(), fleet={"910": DOCKER})
    assert done.code == 1
    assert sent(done) == [("pve1", "910")]
    assert "refused: pve1: CT 910: its conf is gone: was it destroyed?" in done.stderr


def test_the_node_that_it_came_to_does_not_answer(pyinfra):
    node = come(responses={"observe containers,dockers": {"success": False}})
    done = pyinfra("harden", left(), node, fleet={"910": DOCKER})
    assert done.code == 1
    assert "it was to be planned anew, and its node was asked in vain" in done.stderr
    assert ("pve2", "910") not in sent(done)


def test_its_guests_packages_come_with_it(pyinfra):
    lacks = docker(910, "manager apt", Images=0)
    fleet = {"910": {**DOCKER, "storage_driver": "fuse-overlayfs"}}
    node, there = left(dockers=lacks), come()
    there.later.dockers = lacks
    done = pyinfra("harden", node, there, fleet=fleet)
    assert done.code == 0, done.stderr
    mine = [unit for name, unit in sent(done) if name == "pve2"]
    assert mine == ["910-packages", "910"]


def test_a_snapshot_is_taken_where_it_is(pyinfra):
    done = pyinfra("harden", left(), come(), fleet={"910": DOCKER}, snapshot=True)
    assert done.code == 0, done.stderr
    assert [one[0] for one in sent(done)] == ["pve1", "pve2", "pve1", "pve2"]


@pytest.mark.parametrize("rolling", [1, "nodes"])
def test_who_depends_on_it_still_waits_for_it(pyinfra, rolling):
    fleet = {"911": {**DOCKER, "dependencies": ["910"]}, "910": DOCKER}
    done = pyinfra("harden", left(), come(911), fleet=fleet, rolling=rolling)
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve1", "910"), ("pve2", "910"), ("pve2", "911")]


def test_one_of_several_of_which_nothing_is_restarted_is_done_where_it_is(pyinfra):
    fleet = {str(ctid): DOCKER for ctid in (910, 911)}
    told = {"commit CT 910 and 1 more": {"stdout": f"{MOVED}\nCT 911: done"}}
    there = come(stopped=(910,))
    there.later.stopped = (910,)
    there.responses = {"commit CT 910": {"stdout": "CT 910: done"}}
    done = pyinfra("harden", left(911, stopped=(910, 911), responses=told), there, fleet=fleet)
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve1", "910"), ("pve2", "910")]
    assert "910   ct910  on pve2 now: done" in done.stderr
    assert "911   ct911  done" in done.stderr


def test_one_that_no_node_had_while_all_were_asked_is_found(pyinfra):
    """The node that it came to was asked before it came, the other one after that."""
    (before,) = FakeNode("pve2", {}, elsewhere={"910": "pve1"})._everything()
    (after,) = FakeNode("pve2", {910: conf(910)})._everything()
    there = FakeNode("pve2", {}, responses={"observe ": InTurn(before, after)})
    here = FakeNode("pve1", {}, elsewhere={"910": "pve2"})
    done = pyinfra("harden", here, there, fleet={"910": DOCKER})
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve2", "910")]


def test_what_was_cut_short_here_is_closed_here_and_the_container_planned_there(pyinfra):
    intent = {"ctid": 910, "event": "intent", "file": "/etc/pve/lxc/910.conf", "ours": "none"}
    earlier = {"r20261122T013000Z-beef": journal({**intent, "before": "a" * 64, "after": "b" * 64})}
    closed = {"settle-r20261122T013000Z-beef-910": {"stdout": MOVED}}
    node = FakeNode("pve1", {}, elsewhere={"910": "pve2"}, runs=earlier, responses=closed)
    node.later = FakeNode("pve1", {}, elsewhere={"910": "pve2"})
    done = pyinfra("harden", node, pve("pve2", 910), fleet={"910": DOCKER})
    assert done.code == 0, done.stderr
    first, *others = sent(done)
    assert first == ("pve1", "beef-910")
    assert {*others} == {("pve2", "910")}


def test_an_audit_tells_what_was_cut_short_in_one_that_has_left(pyinfra):
    intent = {"ctid": 910, "event": "intent", "file": "/etc/pve/lxc/910.conf", "ours": "none"}
    earlier = {"r20261122T013000Z-beef": journal({**intent, "before": "a" * 64, "after": "b" * 64})}
    node = FakeNode("pve1", {}, elsewhere={"910": "pve2"}, runs=earlier)
    done = pyinfra("audit", node, pve("pve2", 910), fleet={"910": DOCKER})
    assert (
        "pve1: run r20261122T013000Z-beef was interrupted here in CT 910, which is on pve2 now: "
        "harden on both nodes closes that"
    ) in done.stderr


# --- rollback -------------------------------------------------------------------------------------


def of_conf(event, **keys):
    return {"ctid": 910, "event": event, "file": "/etc/pve/lxc/910.conf", **keys}


def text_journal(*entries):
    """One of the format that is written now."""
    begin = {"event": "begin", "format": 2, "time": "2026-11-22T01:30:00Z"}
    return f"{json.dumps(begin)}\n{journal(*entries)}"


HARDENED = (of_conf("intent", before=sha(OLD), after=sha(NEW), ours="none"),)
DONE = of_conf("done", after=sha(NEW))


def wrote(*lines, **facts):
    """The node on which the run was; CT 910 has left it."""
    kept = {**KEPT, "now": {}}
    return FakeNode(
        "pve1", {}, elsewhere={"910": "pve2"}, runs={RUN: text_journal(*lines)}, kept=kept, **facts
    )


def has(conf=NEW, **facts):
    """The node that has it."""
    return FakeNode("pve2", {910: conf}, label="lxc-docker-nested (enforce)", **facts)


def test_a_rollback_finds_what_was_kept_on_the_node_that_it_has_left(pyinfra):
    done = pyinfra("rollback", wrote(*HARDENED, DONE), has(), run=RUN)
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve2", "910")]
    assert "CT 910: changed on pve1, it goes back by what is kept there" in done.stderr
    assert "the conf from before goes back" in done.stderr


def test_without_the_node_that_has_it_it_is_left_and_told_with_what_to_do(pyinfra):
    done = pyinfra("rollback", wrote(*HARDENED, DONE), run=RUN)
    assert done.code == 1
    assert sent(done) == []
    assert "910         on pve2 now, left alone: undo the run on both nodes at once" in done.stderr


def test_without_the_node_that_wrote_it_nobody_has_that_run(pyinfra):
    done = pyinfra("rollback", has(), run=RUN)
    assert done.code == 1
    assert "no node of this inventory has that run" in done.stderr


def test_what_was_cut_short_is_closed_where_it_was_written_and_goes_back_where_it_is(pyinfra):
    closed = wrote(*HARDENED, of_conf("failed"))
    (later,) = closed._everything()
    node = wrote(*HARDENED)
    first = InTurn(*node._everything(), *node._everything(), later)
    node.responses = {"settle-": {"stdout": MOVED}, "observe ": first}
    done = pyinfra("rollback", node, has(), run=RUN)
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve1", "beef-910"), ("pve2", "910")]
    undoes = [one for one in done.stderr.split(">>> ") if f" {RUN}\n" in one and "' begin r" in one]
    assert len(undoes) == 2


def test_one_that_moves_while_it_is_undone_goes_back_where_it_is(pyinfra):
    there = {910: NEW}
    before = FakeNode(
        "pve1", there, runs={RUN: text_journal(*HARDENED, DONE)}, kept={**KEPT, "now": {}}
    )
    (later,) = wrote(*HARDENED, DONE)._everything()
    before.responses = {
        "commit CT 910": {"stdout": MOVED},
        "observe ": InTurn(*before._everything(), *before._everything(), later),
    }
    came = FakeNode("pve2", {}, elsewhere={"910": "pve1"})
    (now,) = has()._everything()
    came.responses = {"observe ": InTurn(*came._everything(), *came._everything(), now)}
    done = pyinfra("rollback", before, came, run=RUN)
    assert done.code == 0, done.stderr
    assert sent(done) == [("pve1", "910"), ("pve2", "910")]
