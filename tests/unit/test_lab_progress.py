"""Waiting for the lab's node: as long as it goes on, and no longer."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from lab import progress, ssh
from lab.errors import LabError
from lab.progress import Watch
from lab.ssh import SshTarget


class Here(SshTarget):
    """A target whose commands run on this machine."""

    def command(self, remote):
        return ["sh", "-c", *remote]


@pytest.fixture
def here():
    return Here("127.0.0.1", 22, "root", Path("key"))


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock is a minute later."""
    minutes = count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: 60.0 * next(minutes))


def test_what_goes_on_has_all_the_time_in_the_world(clock):
    sign = count()
    watch = Watch(lambda: next(sign), seconds=300)
    assert not any(watch.stalled() for _ in range(100))


def test_what_stands_still_for_too_long_has_stalled(clock):
    watch = Watch(lambda: "the same", seconds=300)
    looks = [watch.stalled() for _ in range(10)]
    assert looks == sorted(looks)
    assert looks[0] is False
    assert looks[-1] is True


def test_a_command_is_followed_line_by_line(here):
    lines = here.follow("echo one; echo two >&2; printf three")
    assert list(lines) == ["one", "two"]


def test_a_followed_command_that_fails_is_an_error_with_its_last_line(here):
    lines = here.follow("echo begun; exit 3")
    assert next(lines) == "begun"
    with pytest.raises(LabError, match="exit code 3 of echo begun; exit 3: begun"):
        next(lines)


def test_a_followed_command_that_says_nothing_any_more_is_given_up(here, monkeypatch):
    monkeypatch.setattr(ssh, "STALLED", 0.2)
    lines = here.follow("echo begun; exec sleep 1000")
    assert next(lines) == "begun"
    with pytest.raises(LabError, match="stands still after: begun"):
        next(lines)


def test_who_stops_following_leaves_no_process(here):
    lines = here.follow("echo begun; exec sleep 1000")
    assert next(lines) == "begun"
    lines.close()  # would wait for it
