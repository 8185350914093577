"""The cache of built images: whole or not there, one build at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab import cache
from lab.errors import LabError


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def make(folder):
    (folder / "image").write_text("whole")


def test_the_cache_lies_where_xdg_says(tmp_path):
    assert cache.root() == tmp_path / "phoenix-harden"


def test_what_was_built_is_not_built_again():
    first = cache.entry("stable.image-1", make)
    second = cache.entry("stable.image-1", lambda folder: pytest.fail("built twice"))
    assert first == second
    assert (second / "image").read_text() == "whole"


def test_another_key_is_another_build():
    assert cache.entry("stable.image-1", make) != cache.entry("stable.image-2", make)


def test_a_build_that_fails_leaves_nothing_that_is_used():
    def fail(folder):
        (folder / "image").write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        cache.entry("stable.image-1", fail)
    assert not (cache.root() / "stable.image-1").exists()
    assert (cache.entry("stable.image-1", make) / "image").read_text() == "whole"


def test_what_an_interrupted_build_of_any_recipe_left_is_cleaned_up(capsys):
    left = cache.root() / "stable.image-0.unfinished"
    left.mkdir(parents=True)
    (left / "litter").touch()
    seen = []
    place = cache.entry(
        "stable.image-1", make, lambda folder: seen.append((folder / "litter").exists())
    )
    assert seen == [True]
    assert not left.exists()
    assert not (place / "litter").exists()
    assert "interrupted" in capsys.readouterr().err


BUILD = """
import sys
from lab import cache
from lab.errors import LabError

def build(folder):
    print("building", flush=True)
    sys.stdin.readline()
    (folder / "image").touch()

print(cache.entry("stable.image-1", build).name)
"""


def test_a_second_build_waits_for_the_first_and_says_so():
    # processes, not threads: in a run with pyinfra's tests gevent stands in for threads
    def start():
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", BUILD]
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    with start() as first:
        assert first.stdout.readline() == "building\n"
        with start() as second:
            assert "waiting for another build" in second.stderr.readline()
            assert first.communicate("go on\n")[0] == "stable.image-1\n"
            assert second.communicate()[0] == "stable.image-1\n"


def test_two_builds_of_one_recipe_can_be_told_apart():
    first = cache.build_id(cache.entry("stable.image-1", make))
    cache.purge("stable")
    assert cache.build_id(cache.root() / "stable.image-1") == ""
    second = cache.build_id(cache.entry("stable.image-1", make))
    assert first
    assert second
    assert first != second


def test_what_was_not_used_for_longest_is_removed():
    for number in range(4):
        place = cache.entry(f"stable.image-{number}", make)
        os.utime(place / "build-id", (number, number))
    trees = cache.entry("stable.trees-1", make)
    cache.prune(cache.root() / "stable.image-0")
    left = {path.name for path in cache.root().glob("stable.image-*")}
    assert left == {"stable.image-0", "stable.image-3"}
    assert trees.exists()


def interrupted():
    def fail(_folder):
        raise LabError("ended")

    with pytest.raises(LabError, match="ended"):
        cache.entry("stable.image-1", fail)
    (left,) = cache.root().glob("*.unfinished")
    return left


@pytest.mark.parametrize("where", ["cwd", "root"])
def test_a_build_that_somebody_still_works_in_is_not_removed(where, tmp_path, monkeypatch):
    left = interrupted()
    (left / "tree").mkdir()
    process = tmp_path / "proc/4711"
    process.mkdir(parents=True)
    (process / where).symlink_to(left / "tree")
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/mountinfo").touch()
    monkeypatch.setattr(cache, "PROC", tmp_path / "proc")
    with pytest.raises(LabError, match=r"build of stable.image-1 goes on: wait until"):
        cache.entry("stable.image-1", make)
    assert (left / "tree").exists()
    (process / where).unlink()
    assert (cache.entry("stable.image-1", make) / "image").exists()


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """What is mounted, and an `umount` that takes the last one away."""
    table = tmp_path / "proc/self/mountinfo"
    table.parent.mkdir(parents=True)
    monkeypatch.setattr(cache, "PROC", tmp_path / "proc")
    program = tmp_path / "bin/umount"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/gone\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return table


def test_what_a_killed_build_left_mounted_is_unmounted_the_innermost_first(mounted, tmp_path):
    left = interrupted()
    mounted.write_text(
        "30 1 0:26 / / rw shared:1 - ext4 /dev/vda rw\n"
        f"31 30 0:27 / {left}/a\\040tree rw - tmpfs tmpfs rw\n"
        f"32 31 0:28 / {left}/a\\040tree/proc ro - proc proc rw\n"
    )
    assert (cache.entry("stable.image-1", make) / "image").exists()
    gone = (tmp_path / "gone").read_text().splitlines()
    assert gone == [f"{left}/a tree/proc", f"{left}/a tree"]


def test_what_cannot_be_unmounted_is_named_and_nothing_is_removed(mounted, tmp_path):
    left = interrupted()
    (left / "kept").touch()
    mounted.write_text(f"31 30 0:27 / {left}/proc rw - proc proc rw\n")
    (tmp_path / "bin/umount").write_text("#!/bin/sh\necho umount: target is busy >&2\nexit 32\n")
    with pytest.raises(LabError, match=r"proc is left of an earlier build: umount: target is busy"):
        cache.entry("stable.image-1", make)
    assert (left / "kept").exists()
