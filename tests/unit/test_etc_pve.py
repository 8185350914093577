"""What stands against writing confs, before anything is changed."""

import pytest

from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.etc_pve import check_etc_pve
from phoenix.pve.conf import PveConf
from phoenix.pve.etc_pve import ROOM, ObservedEtcPve
from phoenix.runs.files import Interrupted

WELL = {
    "mode": 0o755,
    "quorate": True,
    "read_only": False,
    "free": 2**27,
    "files": 9,
    "database": 2**30,
}
CONF = PveConf.parse("hostname: a\n")
CHANGE = ContainerChange(910, "a", CONF, CONF, None, True, True, ())


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"mode": 0o555}, "no quorum"),
        ({"quorate": False}, "no quorum"),
        ({"read_only": True}, "mounted read-only"),
        ({"free": ROOM - 1}, "/etc/pve is full"),
        ({"files": 0}, "/etc/pve is full"),
        ({"database": 0}, "/var/lib/pve-cluster, which keeps /etc/pve"),
    ],
)
def test_what_stands_against_a_write_is_an_error_of_the_node_with_what_to_do(differs, why):
    (found,) = check_etc_pve(
        NodePlan("pve1", containers=(CHANGE,)), ObservedEtcPve(**{**WELL, **differs})
    )
    assert why in found.message
    assert found.fix
    assert found.code == "pve.read-only"
    assert NodePlan("pve1", findings=(found,)).problems == (f"pve1: {found.text}",)


@pytest.mark.parametrize("seen", [WELL, {**WELL, "files": None}, {**WELL, "database": None}, {}])
def test_where_nothing_does_there_is_nothing_to_say(seen):
    plan = NodePlan("pve1", containers=(CHANGE,))
    assert list(check_etc_pve(plan, ObservedEtcPve(**seen))) == []


def test_a_run_that_writes_no_conf_does_not_need_it():
    assert list(check_etc_pve(NodePlan("pve1"), ObservedEtcPve(quorate=False))) == []


def test_what_was_cut_short_may_have_to_write_one():
    plan = NodePlan("pve1", interrupted=(Interrupted("r20261122T013000Z-beef", 910, False),))
    assert len(list(check_etc_pve(plan, ObservedEtcPve(quorate=False)))) == 1
