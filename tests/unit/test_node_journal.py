"""node/journal.py where the disk does not take all of a line."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from node import journal

RUN = "r20261122T013000Z-beef"
FIRST = '{"time":"2026-11-22T01:30:00Z","event":"begin","format":2}\n'


@pytest.fixture
def its(tmp_path):
    (tmp_path / "journal.jsonl").write_text(FIRST)
    return journal.Journal(SimpleNamespace(path=str(tmp_path), run=RUN))


def test_a_line_that_the_disk_takes_in_part_is_a_failure_and_leaves_nothing(its, monkeypatch):
    write = os.write
    monkeypatch.setattr(journal.os, "write", lambda fd, data: write(fd, data[:20]))
    keys = {"ctid": 910, "file": "/etc/pve/lxc/910.conf", "before": "a" * 64, "after": "b" * 64}
    with pytest.raises(OSError, match="No space left"):
        its.write("intent", ours="none", **keys)
    assert its.text() == FIRST
    monkeypatch.undo()
    its.write("intent", ours="none", **keys)
    assert its.read().open_containers == (910,)


def test_a_last_line_that_a_crash_has_cut_is_dropped_and_the_others_stay(its):
    Path(its.path).write_text(f'{FIRST}{{"time":"2026-')
    its.drop_cut_line()
    assert its.text() == FIRST
