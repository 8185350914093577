"""Containers that must never be down at the same time."""

import json

import pytest

from operations.transaction import staged_files
from phoenix.fleet.model import Container, Fleet
from phoenix.fleet.parse import FleetError, parse_fleet
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.apart import hold_apart, hold_recoveries, staged_apart
from phoenix.plan.findings import Code
from phoenix.plan.guest import GuestChange
from phoenix.plan.options import Options
from phoenix.plan.profiles import ProfileChange
from phoenix.plan.reasons import Reason, Why
from phoenix.plan.turns import partners
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.runs.files import Interrupted

CONF = PveConf.from_bytes(b"hostname: web\n")


def read(apart, *ctids):
    entries = {str(ctid): {} for ctid in ctids}
    return parse_fleet(json.dumps({"lxc_configs": entries, "apart": apart}).encode())


def test_one_group_is_a_list_and_several_are_a_list_of_lists():
    assert read(["910", 911, "910"], 910, 911).apart == ((910, 911),)
    groups = [["910", "911"], ["920", "921", "922"]]
    assert read(groups, 910, 911, 920, 921, 922).apart == ((910, 911), (920, 921, 922))
    assert read(None, 910).apart == read([[910, 911]], 910, 911).apart[1:] == ()


@pytest.mark.parametrize(
    ("apart", "told"),
    [
        (["910"], "apart: […]: at least two different CTIDs are expected"),
        ([], "apart: []: at least two different CTIDs are expected"),
        ([["910", "911"], ["910", 910]], "apart[1]: […]: at least two different"),
        ({"910": "911"}, "apart: "),
        (["910", "web"], "apart[1]: "),
        ([["910", "911"], "912"], "apart[1]: "),
        ("910,911", "apart: "),
    ],
)
def test_what_is_no_group_is_refused_with_its_place(apart, told):
    with pytest.raises(FleetError) as caught:
        read(apart, 910, 911)
    assert str(caught.value.problems[0]).startswith(told)


def test_one_that_the_file_does_not_have_is_a_warning():
    assert "apart: 999 is not in this file" in read(["910", "999"], 910).warnings


def observed(ctid, running=True, node="pve1"):
    pid = 100 if running else None
    return ObservedContainer(ctid, CONF, running, pid, None, None, node)


def plan(restart=True, guest=None):
    change = ContainerChange(910, "web", CONF, CONF, None, restart, False, (), guest=guest)
    names = ("lxc-docker-nested", "lxc-docker-nested-910")
    profiles = (ProfileChange(name, None, "", Reason(Why.NEW, "new")) for name in names)
    return NodePlan("pve1", containers=(change,), profiles=tuple(profiles))


FLEET = Fleet({910: Container(910, profile="lxc-docker-nested", own=True)}, apart=((910, 911),))


def held(others, elsewhere=None, **change):
    here = ObservedPct("pve1", {910: observed(910)}, elsewhere or {})
    found = hold_apart(plan(**change), FLEET, Options(), {"pve1": here, **others})
    assert bool(found.containers) != bool(found.alone)
    # one that is left as it is gets no new rules either; others may share the other one
    assert len(found.profiles) == 1 + bool(found.containers)
    return found.findings


def test_the_other_half_runs_so_this_one_may_be_restarted():
    assert held({"pve2": ObservedPct("pve2", {911: observed(911)})}) == ()


def test_while_the_other_half_is_down_this_one_is_left_running():
    (finding,) = held({"pve2": ObservedPct("pve2", {911: observed(911, running=False)})})
    assert finding.code == Code.APART
    assert finding.text == (
        "kept apart from CT 911 on pve2, which does not run: it is not restarted now: have that "
        "one running first"
    )


def test_of_one_that_nobody_can_ask_nothing_is_known():
    (finding,) = held({}, elsewhere={911: "pve3"})
    assert "CT 911 on pve3, which this run does not reach" in finding.text


def test_what_restarts_nothing_has_nothing_to_wait_for():
    assert held({}, restart=False, elsewhere={911: "pve3"}) == ()


def test_what_restarts_its_docker_has_to_wait_as_well():
    change = GuestChange(before="", after="{}")
    (finding,) = held({}, restart=False, guest=change, elsewhere={911: "pve3"})
    assert finding.code == Code.APART


def test_one_that_is_nowhere_keeps_nobody():
    assert held({}) == ()


def test_what_is_kept_apart_is_staged_for_the_rollback_which_reads_it():
    here = ObservedPct("pve1", {910: observed(910)}, {})
    found = hold_apart(plan(), FLEET, Options(), {"pve1": here})
    (change,) = found.containers
    assert staged_apart(staged_files(change)) == (911,)


def test_what_an_earlier_version_has_staged_or_what_is_no_ctid_keeps_nobody_apart():
    assert staged_apart({}) == staged_apart({"apart": "web\n9110000000\n099\n"}) == ()


# --- what was interrupted -------------------------------------------------------------------------

DOWN = {"pve2": ObservedPct("pve2", {911: observed(911, running=False)})}


def recovered(others, running=True, elsewhere=None, **how):
    """What is recovered of CT 910, and what is found."""
    here = ObservedPct("pve1", {910: observed(910, running)}, elsewhere or {})
    cut = NodePlan("pve1", interrupted=(Interrupted("r1", 910, **how),))
    found = hold_recoveries(cut, partners(FLEET), here, {"pve1": here, **others})
    assert bool(found.interrupted) != bool(found.alone)
    return found.findings


def test_one_that_runs_is_not_recovered_while_its_other_half_is_down():
    (finding,) = recovered(DOWN)
    assert finding.code == Code.APART
    assert finding.text == (
        "run r1 was interrupted there, and recovering it may restart it; it is kept apart from CT "
        "911 on pve2, which does not run: it is not recovered now: have that one running first"
    )


def test_nor_while_nobody_can_ask_whether_the_other_half_runs():
    (finding,) = recovered({}, elsewhere={911: "pve3"})
    assert "CT 911 on pve3, which this run does not reach" in finding.text


def test_one_that_is_down_itself_is_recovered_which_can_only_bring_it_up():
    assert recovered(DOWN, running=False) == ()


@pytest.mark.parametrize("how", [{"makes": True}, {"destroys": True}, {"ha": "started"}])
def test_what_serves_nobody_or_restarts_nothing_is_recovered(how):
    assert recovered(DOWN, **how) == ()


def test_with_the_other_half_up_it_is_recovered():
    assert recovered({"pve2": ObservedPct("pve2", {911: observed(911)})}) == ()
    assert recovered({}) == ()
