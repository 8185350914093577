"""Containers that HA manages: what a run does to HA, and what stands against that."""

import json

import pytest
from fake_node import CONF, FakeNode, installed

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
FLEET = {"910": DOCKER, "952": DOCKER}
RUN = "r20261122T013000Z-beef"
SETTLED = {
    "state": "started", "node": "pve1", "node_state": "online", "target": "", "queued": False,
    "fallback": "", "is_failing": False,
}  # fmt: skip
LINE = "CT 910: ha-manager set ct:910 --state ignored, and back to started"
MAY = {"ha": "true"}


def pve(*, name="pve1", ctids=(910, 952), service=SETTLED, ha="started", **facts):
    confs = {ctid: CONF.format(name=f"ct{ctid}") for ctid in ctids}
    services = {910: service} if service else {}
    return FakeNode(name, confs, ha={910: ha}, services=services, apparmor=installed(), **facts)


def test_a_dry_run_shows_what_it_would_do_to_ha_and_does_nothing(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, flags=("--dry",), **MAY)
    assert (done.code, done.commands) == (0, []), done.stderr
    assert f"pve1: {LINE}" in done.stderr
    assert done.stderr.count("ha-manager") == 1


def test_one_that_ha_manages_is_changed_in_its_turn(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, **MAY)
    assert (done.code, done.commands) == (0, ["910", "952"]), done.stderr


def test_without_the_word_it_is_left_alone_and_the_word_is_named(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET)
    assert (done.code, done.commands) == (1, ["952"])
    assert "--state ignored first, or --data ha=true, which does that and puts it" in done.stderr
    assert LINE not in done.stderr


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"service": {**SETTLED, "state": "relocate", "target": "pve2"}}, "moving it to pve2"),
        ({"service": {**SETTLED, "node": "pve2"}}, "HA has it on pve2, and its conf is on pve1"),
        ({"service": None}, "HA has not taken it up yet"),
        ({"ha": "frozen"}, "managed by HA (frozen)"),
    ],
)
def test_one_that_ha_is_at_work_on_is_left_alone_and_the_others_go_on(pyinfra, facts, told):
    done = pyinfra("harden", pve(**facts), fleet=FLEET, **MAY)
    assert (done.code, done.commands) == (1, ["952"])
    table = done.stderr.partition("CTID  NAME   RESULT")[2]
    assert told in table
    assert "still to do: " in table


def test_several_of_which_nothing_is_restarted_go_by_themselves_where_ha_has_them(pyinfra):
    stopped = {**SETTLED, "state": "stopped"}
    node = pve(ctids=(910, 952, 953), service=stopped, ha="stopped", stopped=(910, 952, 953))
    done = pyinfra("harden", node, fleet={**FLEET, "953": DOCKER}, **MAY)
    assert done.code == 0, done.stderr
    # the other two in one command, named by the first
    assert done.commands == ["910", "952"]
    assert "ignored, and back to stopped" in done.stderr


def test_an_ha_that_refuses_has_its_words_in_the_table_and_no_other_is_begun(pyinfra):
    said = "CT 910: refused: ha-manager refuses: no quorum: nothing was changed"
    failing = {"commit CT 910": {"success": False, "stdout": said}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET, **MAY)
    assert (done.code, done.commands) == (1, ["910"])
    assert "910   ct910  refused: ha-manager refuses: no quorum: nothing was" in done.stderr
    assert "952   ct952  not begun" in done.stderr


def lines(*entries):
    time = {"time": "2026-11-22T01:30:00Z"}
    first = {**time, "event": "begin", "format": 2}
    every = (first, *({**time, "ctid": 910, **entry} for entry in entries))
    return {RUN: "".join(f"{json.dumps(one)}\n" for one in every)}


HELD = lines({"event": "intent", "ha": "started"}, {"event": "held", "ha": "started"})


@pytest.mark.parametrize("data", [{}, MAY], ids=["without", "with"])
def test_what_an_earlier_run_left_ignored_is_put_back_whatever_this_one_may(pyinfra, data):
    done = pyinfra("harden", pve(runs=HELD, ha="ignored"), fleet=FLEET, **data)
    assert done.code == 0, done.stderr
    told = f"CT 910: run {RUN} left it ignored by HA; its state in HA is put back to started first"
    assert told in done.stderr
    assert f"operation: CT 910: recover run {RUN}" in done.stderr


def test_an_audit_says_that_ha_ignores_it_still(pyinfra):
    done = pyinfra("audit", pve(runs=HELD, ha="ignored"), fleet=FLEET, strict="true")
    assert done.code == 1
    assert f"run {RUN} left it ignored by HA" in done.stderr


# --- both halves of a pair ------------------------------------------------------------------------

INTENT = {"event": "intent", "file": "/etc/pve/lxc/910.conf", "before": "a" * 64, "after": "b" * 64}
CUT = lines({**INTENT, "ours": "none"})


def pair(pyinfra, tmp_path, first, second, **data):
    file = tmp_path / "fleet.json"
    entries = {"910": DOCKER, "911": DOCKER}
    file.write_text(json.dumps({"lxc_configs": entries, "apart": ["910", "911"]}))
    return pyinfra("harden", first, second, fleet=file, **data)


def half(ctid, name, **facts):
    confs = {ctid: CONF.format(name=f"ct{ctid}")}
    return FakeNode(name, confs, apparmor=installed(), **facts)


def test_a_recovery_that_may_restart_waits_while_the_other_half_is_down(pyinfra, tmp_path):
    nodes = [half(910, "pve1", runs=CUT), half(911, "pve2", stopped=(911,))]
    done = pair(pyinfra, tmp_path, *nodes)
    assert done.code == 1
    assert f"recover run {RUN}" not in done.stderr
    assert "it is kept apart from CT 911 on @fake/pve2, which does not run" in done.stderr
    table = done.stderr.partition("CTID  NAME   RESULT")[2]
    assert f"910   ct910  run {RUN} was interrupted there, and recovering it may" in table
    # which is stopped, so nothing of it restarts
    assert done.commands == ["911"]


def test_a_recovery_of_one_that_is_down_itself_brings_it_up(pyinfra, tmp_path):
    nodes = [half(910, "pve1", runs=CUT, stopped=(910,)), half(911, "pve2", stopped=(911,))]
    done = pair(pyinfra, tmp_path, *nodes)
    assert done.code == 0, done.stderr
    assert f"operation: CT 910: recover run {RUN}" in done.stderr


def test_where_both_were_interrupted_the_one_that_is_down_comes_up_and_the_other_stays_up(
    pyinfra, tmp_path
):
    intent = {**INTENT, "file": "/etc/pve/lxc/911.conf", "ctid": 911, "ours": "none"}
    nodes = [half(910, "pve1", runs=CUT), half(911, "pve2", runs=lines(intent), stopped=(911,))]
    done = pair(pyinfra, tmp_path, *nodes, rolling="nodes")
    assert done.code == 1
    assert "operation: CT 911: recover run" in done.stderr
    assert "operation: CT 910" not in done.stderr
