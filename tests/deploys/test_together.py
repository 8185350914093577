"""deploys/harden.py with containers of which nothing is restarted: one command for all of them."""

import pytest
from fake_node import CONF, FakeNode

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
FLEET = {str(ctid): DOCKER for ctid in (910, 952, 953, 954)}
STOPPED = (910, 953, 954)


def pve(commits="", **changes):
    """A node on which 952 alone runs; `commits`: what the command about the others says."""
    confs = {int(ctid): CONF.format(name=f"ct{ctid}") for ctid in FLEET}
    said = {"stdout": commits.split("\n"), "success": changes.pop("success", True)}
    responses = {"commit CT 910 and 2 more": said, **changes.pop("responses", {})}
    return FakeNode("pve1", confs, stopped=STOPPED, responses=responses, **changes)


def units(done):
    """What was asked of units, in their order: verb, run and containers."""
    asked = [line for line in done.stderr.splitlines() if ">>> " in line and "--unit=" in line]
    return [line.partition("node.pyz commit ")[2].split()[1:] for line in asked]


ALL = "CT 910: done\nCT 953: done\nCT 954: done"


def test_they_come_last_in_one_command_and_each_has_its_line_in_the_table(pyinfra):
    done = pyinfra("harden", pve(ALL), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert units(done) == [["952"], ["910", "953", "954"]]
    for ctid in STOPPED:
        assert f"{ctid}   ct{ctid}  done" in done.stderr


def test_nothing_asks_the_node_whether_somebody_changed_one_meanwhile(pyinfra):
    done = pyinfra("harden", pve(ALL), fleet=FLEET)
    assert "observe staged" not in done.stderr


def test_one_alone_is_committed_as_ever(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="ct910")}, stopped=(910,))
    done = pyinfra("harden", node, fleet=FLEET)
    assert units(done) == [["910"]]
    assert "Starting operation: CT 910 ct910" in done.stderr


def test_after_one_that_is_refused_those_behind_it_have_not_begun(pyinfra):
    said = "CT 910: done\nCT 953: refused: locked: try again"
    done = pyinfra("harden", pve(said, success=False), fleet=FLEET)
    assert done.code == 1
    assert "910   ct910  done" in done.stderr
    assert "953   ct953  refused: locked: try again" in done.stderr
    assert "954   ct954  not begun" in done.stderr


def test_where_the_connection_is_lost_only_what_was_told_is_known(pyinfra):
    done = pyinfra("harden", pve("CT 910: done", success=False), fleet=FLEET)
    assert done.code == 1
    assert "910   ct910  done" in done.stderr
    for ctid in (953, 954):
        assert f"{ctid}   ct{ctid}  failed or connection lost" in done.stderr


def test_after_a_failed_restart_none_of_them_is_begun(pyinfra):
    failing = {"commit CT 952": {"success": False, "stdout": "CT 952: restored: as it was"}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET)
    assert (done.code, units(done)) == (1, [["952"]])
    for ctid in STOPPED:
        assert f"{ctid}   ct{ctid}  not begun" in done.stderr


def test_one_that_somebody_changed_meanwhile_is_planned_anew_by_itself(pyinfra):
    said = "CT 910: done\nCT 953: changed: somebody changed it: nothing was changed\nCT 954: done"
    anew = {"--description=phoenix-harden: commit CT 953'": {"stdout": "CT 953: done"}}
    done = pyinfra("harden", pve(said, responses=anew), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert units(done) == [["952"], ["910", "953", "954"], ["953"]]
    assert "953   ct953  done" in done.stderr


@pytest.mark.parametrize("said", ["", "CT 9: done\nCT 99999: done", "done"])
def test_a_command_that_tells_nothing_of_one_is_no_proof_for_it(pyinfra, said):
    done = pyinfra("harden", pve(said, success=False), fleet=FLEET)
    assert done.code == 1
    for ctid in STOPPED:
        assert f"{ctid}   ct{ctid}  failed or connection lost" in done.stderr


def test_with_snapshots_each_follows_its_own(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, snapshot="true")
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "910", "952", "952", "953", "953", "954", "954"]
