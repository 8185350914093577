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


def test_what_an_earlier_build_still_has_mounted_is_not_removed(monkeypatch, tmp_path):
    def fail(_folder):
        raise LabError("ended")

    with pytest.raises(LabError, match="ended"):
        cache.entry("stable.image-1", fail)
    (left,) = cache.root().glob("*.unfinished")
    (left / "proc").mkdir()
    (left / "proc/stat").touch()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "30 1 0:26 / / rw shared:1 - ext4 /dev/vda rw\n"
        f"31 30 0:27 / {left}/proc ro - proc proc rw\n"
    )
    monkeypatch.setattr(cache, "MOUNTS", mounts)
    with pytest.raises(LabError, match=r"build of stable.image-1 goes on: wait until"):
        cache.entry("stable.image-1", make)
    assert (left / "proc/stat").exists()
    mounts.write_text("30 1 0:26 / / rw shared:1 - ext4 /dev/vda rw\n")
    assert (cache.entry("stable.image-1", make) / "image").exists()
