"""auditd's file as it grows, where it is changed while it is read."""

import pytest

from node.log_tail import FileTail
from tests.unit.test_audit_line import line


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("PHOENIX_ROOT", str(tmp_path))
    log = tmp_path / "var/log/audit/audit.log"
    log.parent.mkdir(parents=True)
    return log


def text(*names):
    return "".join(f"{line(ord(name[1]), name=name)}\n" for name in names)


def names(lines):
    return [one.partition(' name="')[2].partition('"')[0] for one in lines]


@pytest.mark.parametrize("more", ["", "x" * 9999 + "\n"])
def test_a_log_that_is_cut_between_two_lines_that_are_read_loses_nothing(log, more):
    log.write_text(text("/a"))
    tail = FileTail(at_end=False)
    reading = tail.read(0)
    assert names([next(reading)]) == ["/a"]
    with log.open("a") as out:
        out.write(text("/b"))
    log.with_name("audit.log.1").write_bytes(log.read_bytes())
    log.write_text(more + text("/c"))
    # what is read again is told apart by its number
    assert names([*reading]) == ["/a", "/b", "/c"]
    assert names(tail.read(0)) == []
    tail.close()


def test_a_line_counts_once_it_is_whole(log):
    log.write_text(text("/a"))
    tail = FileTail(at_end=True)
    whole = text("/b")
    for part in (whole[:50], whole[50:]):
        assert names(tail.read(0)) == []
        with log.open("a") as out:
            out.write(part)
    assert names(tail.read(0)) == ["/b"]
    tail.close()


def test_a_log_that_is_not_there_yet_is_read_once_it_is(log):
    tail = FileTail(at_end=True)
    assert names(tail.read(0)) == []
    log.write_text(text("/a"))
    assert names(tail.read(0)) == ["/a"]
    log.unlink()
    assert names(tail.read(0)) == []
    tail.close()
