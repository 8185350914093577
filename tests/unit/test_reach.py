"""Which nodes a run goes on without."""

import pytest

from phoenix.plan.options import Options
from phoenix.plan.reach import absent_nodes


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
