"""The two looks at what the owner runs: how long is waited between them, on a clock of ours."""

from types import SimpleNamespace

import pytest

from node import owners
from node.owners import Owners

WORKS = "works 1\nunit active running a.service\nboots a.service\nend\n"
FAILED = WORKS.replace("active running", "failed failed")


class Clock:
    """Time passes only where somebody sleeps, or says so; `slept`: how long, each time."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(owners, "time", clock)
    return clock


@pytest.fixture
def its(monkeypatch):
    """The owners of a container that says this, one after the other, the last for good."""

    def made(*said, settle=0):
        left = [*said]
        monkeypatch.setattr(
            owners, "ask", lambda *_, **__: (left.pop(0) if len(left) > 1 else left[0], "")
        )
        staged = SimpleNamespace(works=WORKS, settle=settle, accept=frozenset(), driver="")
        told = []
        its = SimpleNamespace(ctid=910, staged=staged, daemon=None, say=told.append)
        return Owners(its)

    return made


@pytest.mark.parametrize(("passed", "left"), [(0, 10), (7, 3), (60, 0)])
def test_what_was_proven_meanwhile_is_part_of_the_time_between_the_looks(its, clock, passed, left):
    found = its(WORKS)
    found.look()
    clock.now += passed
    assert found.work_again()
    assert clock.slept == [left]


def test_what_does_not_work_at_the_first_look_has_the_whole_time_once_it_does(its, clock):
    found = its(FAILED, FAILED, WORKS)
    found.look()
    clock.now += 60
    assert found.work_again()
    assert clock.slept == [2, 10]


def test_the_time_that_the_fleet_file_asks_for_begins_after_the_proof(its, clock):
    found = its(WORKS, settle=30)
    found.look()
    clock.now += 60
    assert found.work_again()
    assert clock.slept == [30]


def test_what_has_fallen_between_the_looks_is_found(its, clock):
    found = its(WORKS, FAILED)
    found.look()
    clock.now += 60
    assert not found.work_again()
