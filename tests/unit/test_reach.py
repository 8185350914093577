"""Which nodes a run goes on without."""

import pytest

from phoenix.fleet.parse import parse_fleet
from phoenix.plan.options import Options
from phoenix.plan.reach import absent_nodes, missed_nodes
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct


@pytest.mark.parametrize(
    ("word", "unreached", "offline", "against"),
    [
        (None, [], ["pve3"], []),
        (None, ["pve2"], [], ["cannot reach pve2: "]),
        ("skip", ["pve2"], ["pve3"], []),
        ("refuse", [], ["pve3"], ["offline: pve3: "]),
        ("refuse", ["pve2"], ["pve3"], ["cannot reach pve2: ", "offline: pve3: "]),
        ("refuse", [], [], []),
    ],
)
def test_a_run_goes_on_without_those_whose_absence_is_known_or_allowed(
    word, unreached, offline, against
):
    problems = absent_nodes(Options(offline=word), unreached, offline)
    assert len(problems) == len(against)
    assert all(map(str.startswith, problems, against))


def node(name, *ctids, **elsewhere):
    conf = PveConf.parse("")
    here = {ctid: ObservedContainer(ctid, conf, True, 1, None, None, name) for ctid in ctids}
    return ObservedPct(name, here, {int(ctid[2:]): place for ctid, place in elsewhere.items()})


@pytest.mark.parametrize(
    ("nodes", "missed"),
    [
        ([node("pve1", 910), node("pve2", ct910="pve1")], set()),
        # it came to pve2 after that was asked, and had left pve1 when that was
        ([node("pve1", ct910="pve2"), node("pve2", ct910="pve1")], {"pve1", "pve2"}),
        ([node("pve1", ct910="pve2"), node("pve2")], {"pve2"}),
        # nobody of this run has it, or the fleet file does not name it
        ([node("pve1", ct910="pve9"), node("pve2", ct910="pve9")], set()),
        ([node("pve1", ct955="pve2"), node("pve2")], set()),
    ],
)
def test_a_node_that_shall_have_a_container_and_has_not_said_so_is_asked_once_more(nodes, missed):
    fleet = parse_fleet(b'{"lxc_configs": {"910": {}}}', [])
    assert missed_nodes(fleet, nodes) == missed
