"""A rollback keeps apart whom its run kept apart: no fleet file is read for it."""

import pytest
from fake_node import FakeNode, journal
from test_rollback import NEW, OLD, RUN, sha
from test_rolling import begun


def pve(name, ctid, apart, ends=("done",), **facts):
    """A node on which the run changed that container, and kept it apart from that one."""
    file = {"ctid": ctid, "file": f"/etc/pve/lxc/{ctid}.conf"}
    lines = [{**file, "event": "intent", "before": sha(OLD), "after": sha(NEW), "ours": "none"}]
    lines += [{**file, "event": end, "after": sha(NEW)} for end in ends]
    staged = {"conf": NEW, "before": sha(OLD), "docker": "", "apart": f"{apart}\n"}
    kept = {"files": {sha(OLD): OLD}, "staged": {str(ctid): staged}, "now": {}}
    runs = {RUN: journal(*lines)}
    label = "lxc-docker-nested (enforce)"
    return FakeNode(name, {ctid: NEW}, label=label, runs=runs, kept=kept, **facts)


def test_both_halves_go_back_one_after_the_other_whatever_rolling_is(pyinfra):
    done = pyinfra("rollback", pve("pve1", 910, 911), pve("pve2", 911, 910), rolling="nodes")
    assert done.code == 0, done.stderr
    assert begun(done) == ["CT 910 portainer", "CT 911 portainer"]


def test_those_that_are_in_no_pair_go_back_side_by_side(pyinfra):
    done = pyinfra("rollback", pve("pve1", 910, 999), pve("pve2", 911, 999), rolling="nodes")
    assert done.code == 0, done.stderr
    (both,) = begun(done)
    assert {*both.split(", ")} == {"CT 910 portainer", "CT 911 portainer"}


def test_while_one_half_is_down_the_other_stays_as_it_is_and_the_exit_code_says_so(pyinfra):
    nodes = [pve("pve1", 910, 911), pve("pve2", 911, 910, stopped=(911,))]
    done = pyinfra("rollback", *nodes)
    assert done.code == 1
    told = "CT 910 portainer: kept apart from CT 911 on @fake/pve2, which does not run"
    assert told in done.stderr
    assert done.commands == ["911"]


@pytest.mark.parametrize("restart", ["auto", "never"])
def test_where_the_other_half_is_out_of_reach_the_conf_goes_back_without_a_restart(
    pyinfra, restart
):
    node = pve("pve1", 910, 911, elsewhere={"911": "pve9"})
    done = pyinfra("rollback", node, restart=restart)
    told = "kept apart from CT 911 on pve9, which this run does not reach" in done.stderr
    assert (done.code, done.commands, told) == {
        "auto": (1, [], True),
        "never": (0, ["910"], False),
    }[restart]


def test_what_was_cut_short_is_not_recovered_while_its_other_half_is_down(pyinfra):
    nodes = [pve("pve1", 910, 911, ends=()), pve("pve2", 911, 910, stopped=(911,))]
    done = pyinfra("rollback", *nodes)
    assert done.code == 1
    assert "recovering it may restart it; it is kept apart from CT 911" in done.stderr
    assert done.commands == ["911"]
