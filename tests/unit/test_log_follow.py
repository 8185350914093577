"""Each line of a growing log once, whatever becomes of the log and of the clock."""

import time

import pytest

from node import log_follow, log_source
from node.log_follow import FollowedLog
from tests.unit.test_audit_line import line


class Journal:
    """What journalctl writes: it may be what was read before."""

    is_again = True

    def __init__(self):
        self.lines = []

    def read(self, since):
        lines, self.lines = self.lines, []
        return iter(lines)

    def close(self):
        pass


@pytest.fixture
def journal(monkeypatch):
    journal = Journal()
    monkeypatch.setattr(log_source, "choose", lambda: log_source.JOURNAL)
    monkeypatch.setattr(log_source, "missing", lambda source: "")
    monkeypatch.setattr(log_follow, "JournalTail", lambda transport: journal)
    return journal


def said(at, name, serial=4769, **more):
    return line(at, name=name, **more).replace(":4769)", f":{serial})")


def names(log):
    return [one.text.partition(' name="')[2].partition('"')[0] for one in log.read()]


def test_all_that_one_system_call_was_refused_is_told_and_once(journal):
    log, now = FollowedLog(None), time.time()
    event = [said(now + 1, name, 5, pid=pid) for name, pid in (("/a", 7), ("/b", 7), ("/b", 8))]
    journal.lines = event * 2
    assert names(log) == ["/a", "/b", "/b"]


def test_what_comes_after_the_clock_was_set_back_is_told_and_once(journal, monkeypatch):
    clock, now = [1000.0], time.time()
    monkeypatch.setattr(log_follow, "_clock", lambda: clock[0])
    log = FollowedLog(None)
    journal.lines = before = [said(now + 1, "/before", 5)]
    assert names(log) == ["/before"]
    clock[0] -= 3600
    journal.lines = [*before, said(now - 3598, "/after", 6), said(now - 3598, "/after", 6)]
    assert names(log) == ["/after"]
    # a new stream goes on from there
    assert log.mark == (pytest.approx(now - 3598, abs=0.01), 6)


def test_after_the_clock_was_set_back_a_flood_of_before_hides_nothing(journal, monkeypatch):
    clock, now = [1000.0], time.time()
    monkeypatch.setattr(log_follow, "_clock", lambda: clock[0])
    monkeypatch.setattr(log_follow, "_WINDOW", 10)
    log = FollowedLog(None)
    journal.lines = [said(now + 1, f"/{serial}", serial) for serial in range(20)]
    assert len(names(log)) == 20
    clock[0] -= 3600
    for serial in range(20, 60):
        journal.lines = [said(now - 3590 + serial / 10, f"/{serial}", serial)]
        assert names(log) == [f"/{serial}"]


def test_a_clock_that_is_only_slewed_changes_nothing(journal, monkeypatch):
    clock, now = [1000.0], time.time()
    monkeypatch.setattr(log_follow, "_clock", lambda: clock[0])
    log = FollowedLog((now, 5))
    for _ in range(10):
        clock[0] -= 0.1
        journal.lines = [said(now - 0.5, "/known", 4)]
        assert names(log) == []
