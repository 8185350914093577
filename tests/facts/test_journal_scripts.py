"""runs.sh and kept.sh on a tree of files."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from phoenix.kept import parse_kept, parse_runs

NODE = Path(__file__).parents[2] / "templates/node"
RUN = "r20261122T013000Z-beef"
INTENT = '{"ctid":910,"event":"intent","file":"/etc/pve/lxc/910.conf","before":"a","after":"b"}\n'
DONE = '{"ctid":910,"event":"done","file":"/etc/pve/lxc/910.conf","after":"b"}\n'


@pytest.fixture
def root(tmp_path):
    (tmp_path / "var/lib/phoenix-harden/runs").mkdir(parents=True)
    return tmp_path


def has(root, path, data):
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def journal(root, run, text):
    has(root, f"var/lib/phoenix-harden/runs/{run}/journal.jsonl", text.encode())


def ask(root, script, *words):
    done = subprocess.run(
        ["sh", NODE / script, *words],
        env={**os.environ, "PHOENIX_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_node_that_never_saw_a_run_has_none(tmp_path):
    assert parse_runs(ask(tmp_path, "runs.sh", "all")).runs == ()
    assert parse_kept(ask(tmp_path, "kept.sh", RUN)).files == {}


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        (INTENT + DONE, False),
        (INTENT, True),
        (INTENT + DONE + INTENT, True),
        (INTENT + DONE.replace("done", "started"), True),
        (INTENT + DONE.replace("done", "back"), True),
        (INTENT + DONE.replace("done", "restored"), False),
        (INTENT + DONE.replace("done", "refused"), False),
        (INTENT + DONE.replace("done", "failed"), False),
        ('{"event":"begin","undoes":"r1"}\n', False),
        (INTENT + DONE[:30], True),
    ],
)
def test_only_runs_that_were_cut_short_are_told_where_those_are_asked_for(root, text, unfinished):
    journal(root, RUN, text)
    told = parse_runs(ask(root, "runs.sh", "open")).runs
    assert [run.id for run in told] == ([RUN] if unfinished else [])
    assert [run.id for run in parse_runs(ask(root, "runs.sh", "all")).runs] == [RUN]


def test_a_line_that_was_cut_off_does_not_swallow_the_next_run(root):
    journal(root, RUN, INTENT + DONE[:30])
    journal(root, "r20261122T020000Z-cafe", INTENT + DONE)
    runs = parse_runs(ask(root, "runs.sh", "all")).runs
    assert [run.id for run in runs] == [RUN, "r20261122T020000Z-cafe"]
    assert [bool(run.open_containers) for run in runs] == [True, False]


def test_every_byte_of_what_a_run_kept_and_staged_arrives(root):
    data = bytes(range(256)) + b"\\n\\x41%20"
    digest = hashlib.sha256(data).hexdigest()
    run = f"var/lib/phoenix-harden/runs/{RUN}"
    has(root, f"{run}/files/{digest}", data)
    has(root, f"{run}/910/conf", data)
    has(root, f"{run}/910/docker", b"")
    has(root, "/etc/apparmor.d/lxc-a", data)
    kept = parse_kept(ask(root, "kept.sh", RUN, "/etc/apparmor.d/lxc-a", "/etc/apparmor.d/lxc-b"))
    text = data.decode("utf-8", "surrogateescape")
    assert kept.files == {digest: text}
    assert kept.staged == {910: {"conf": text, "docker": ""}}
    assert kept.now == {"/etc/apparmor.d/lxc-a": text, "/etc/apparmor.d/lxc-b": None}


def test_a_new_file_that_never_came_into_its_place_is_told(root):
    has(root, "/etc/apparmor.d/lxc-a.dpkg-new", b"")
    has(root, "/etc/apparmor.d/lxc-b", b"b")
    has(root, "/etc/systemd/system/c.timer.phoenix-new", b"c")
    paths = ("/etc/apparmor.d/lxc-a", "/etc/apparmor.d/lxc-b", "/etc/systemd/system/c.timer")
    kept = parse_kept(ask(root, "kept.sh", RUN, *paths))
    assert kept.now == {paths[0]: None, paths[1]: "b", paths[2]: None}
    assert kept.left == (paths[0], paths[2])
