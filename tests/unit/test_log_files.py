"""auditd's files: which there are, in which order, and what is read of those that are odd."""

import gzip
import os
import shutil

import pytest

from node import log_files
from tests.unit.test_audit_line import line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PHOENIX_ROOT", str(tmp_path))
    folder = tmp_path / "var/log/audit"
    folder.mkdir(parents=True)
    return folder


def write(file, data, written):
    file.write_bytes(data)
    os.utime(file, (written, written))


def read(logs):
    problems = []
    return [*log_files.lines_of(logs, problems)], problems


def test_they_are_found_in_the_order_in_which_they_were_written_the_present_one_last(folder):
    write(folder / "audit.log", b"x", 10)
    write(folder / "audit.log.1", b"x", 30)
    write(folder / "audit.log-20261122.gz", b"x", 20)
    write(folder / "audit.log.2.gz", b"", 25)
    write(folder / "another.log", b"x", 40)
    assert [log.name for log in log_files.find()] == [
        *("audit.log-20261122.gz", "audit.log.1", "audit.log")
    ]


@pytest.mark.parametrize("name", ["audit.log.2026-11-22", "audit.log-20261122-1766"])
def test_a_copy_that_somebody_made_is_none_whose_lines_would_count_twice(folder, name):
    write(folder / "audit.log", b"x", 10)
    write(folder / name, b"x", 5)
    for copy in ("audit.log.bak", "audit.log~", "audit.log.1.save", "audit.log.old.gz"):
        write(folder / copy, b"x", 20)
    assert [log.name for log in log_files.find()] == [name, "audit.log"]


def test_right_after_a_rotation_the_present_one_may_be_empty_or_not_there(folder):
    assert log_files.find() == []
    write(folder / "audit.log", b"", 10)
    assert log_files.find() == []
    write(folder / "audit.log.1", b"x", 5)
    assert [log.name for log in log_files.find()] == ["audit.log.1", "audit.log"]
    (folder / "audit.log").unlink()
    assert [log.name for log in log_files.find()] == ["audit.log.1"]


def test_one_that_was_renamed_meanwhile_is_the_same_one(folder):
    write(folder / "audit.log", f"{line(17, name='/old')}\n".encode(), 10)
    logs = log_files.find()
    (folder / "audit.log").rename(folder / "audit.log.1")
    write(folder / "audit.log", f"{line(18, name='/new')}\n".encode(), 20)
    (found,), problems = read(logs)
    assert ("/old" in found, problems) == (True, [])
    (folder / "audit.log.1").unlink()
    assert read(logs) == ([], [])


def test_one_that_was_written_to_be_small_is_read_in_part_and_that_is_said(folder, monkeypatch):
    monkeypatch.setattr(log_files, "_MOST_UNPACKED", 1024 * 1024)
    data = gzip.compress(f"{line(17)}\n".encode() + b"\0" * 64 * 1024 * 1024)
    write(folder / "audit.log.1.gz", data, 10)
    write(folder / "audit.log", f"{line(18)}\n".encode(), 20)
    found, problems = read(log_files.find())
    assert len(found) == 2
    assert problems == ["audit.log.1.gz is read in part: it is too large once unpacked"]


@pytest.mark.parametrize("begin", ["dev=8 ino=3\n", "\n\n", "\0" * 40_000 + "\n"])
def test_a_log_begins_with_its_first_line_that_has_a_time(folder, begin):
    write(folder / "audit.log.1", f"{begin}{line(17)}\n".encode(), 10)
    write(folder / "audit.log", f"{line(18)}\n".encode(), 20)
    assert log_files.first_time(log_files.find()) == 17.0
    (folder / "audit.log.1").write_bytes(b"no time at all\n")
    assert log_files.first_time(log_files.find()) == 18.0


def test_unpacking_comes_to_an_end(folder, monkeypatch):
    monkeypatch.setattr(log_files, "_PATIENCE", 0)
    write(folder / "audit.log.1.gz", gzip.compress(f"{line(17)}\n".encode() * 9000), 10)
    write(folder / "audit.log", f"{line(18)}\n".encode(), 20)
    found, problems = read(log_files.find())
    assert (len(found), len(problems)) == (1, 1)


@pytest.mark.parametrize("data", [b"", b"no gzip at all", gzip.compress(b"x" * 99)[:-4]])
def test_one_that_is_no_gzip_is_named_and_the_others_are_read(folder, data):
    write(folder / "audit.log.1.gz", data or b"\x1f\x8b", 10)
    write(folder / "audit.log", f"{line(18)}\n".encode(), 20)
    found, problems = read(log_files.find())
    assert (len(found), problems) == (1, ["audit.log.1.gz is damaged"])
    assert log_files.first_time(log_files.find()) in (0.0, 18.0)


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_lines_are_the_same_in_pieces_of_any_size(size):
    text = f"{line(17)}\nx\n{line(18, name='/' + 'y' * 20_000)}\n{line(19)}\n{line(20)}".encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert [*log_files.apparmor_lines(pieces)] == [line(17), line(19), line(20)]


def test_a_folder_that_goes_away_meanwhile_is_a_problem_and_no_end(folder):
    write(folder / "audit.log", b"x", 10)
    logs = log_files.find()
    shutil.rmtree(folder)
    assert read(logs) == ([], ["audit.log is damaged"])
