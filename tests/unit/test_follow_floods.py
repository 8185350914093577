"""What `node follow` tells where a profile has too many kinds, by the log's own clock."""

import json

import pytest

from node import follow
from node.follow import _Stream
from node.log_follow import FollowedLog
from phoenix.apparmor.audit_line import refusal
from tests.unit.test_audit_line import line

AT = 1795307262


class Told:
    def __init__(self, capsys):
        self.capsys, self.stream = capsys, _Stream(FollowedLog(None), None, set())

    def take(self, names, at=AT, profile="lxc-a"):
        """Lines of that time, and the events that they make."""
        for name in names:
            self.stream._take(refusal(line(at, name=name, profile=profile)))
        return self.events()

    def events(self):
        return [json.loads(one) for one in self.capsys.readouterr().out.splitlines()]


@pytest.fixture
def told(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PHOENIX_ROOT", str(tmp_path))
    return Told(capsys)


def kinds(begin, count):
    return [f"/{number}" for number in range(begin, begin + count)]


def test_a_clock_that_is_set_back_makes_no_flood_of_what_comes_slowly(told):
    told.take(kinds(0, 50))
    for second in range(20):
        new = told.take([f"/later/{second}"], at=AT - 3600 + second)
        # the first one only shows where the clock is now
        assert [one["event"] for one in new] == ["denial"] * min(1, second)


def test_lines_that_are_a_little_out_of_their_order_refill_nothing(told):
    told.take(kinds(0, 50))
    for number in range(50):
        assert told.take([f"/more/{number}"], at=AT - number % 2 * 4) == []


def test_a_flood_of_a_profile_that_is_forgotten_is_told_before(told, monkeypatch):
    monkeypatch.setattr(follow, "_PROFILES", 2)
    told.take(kinds(0, 57))
    told.take(["/b"], profile="lxc-b")
    (flood, new) = told.take(["/c"], profile="lxc-c")
    assert (flood["event"], flood["profile"], flood["lines"]) == ("flood", "lxc-a", 7)
    assert new["event"] == "denial"
    # what was told already is not told again
    told.stream._tick()
    assert [one for one in told.events() if one["event"] == "flood"] == []
