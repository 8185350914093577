"""The script that writes a conf, against a fake root; tests/lab has it on a real node."""

import hashlib
import os
import subprocess
import time
from base64 import b64encode
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "templates/node/write-conf.sh"
OLD = b"arch: amd64\nfeatures: nesting=1\n"
NEW = b"arch: amd64\nfeatures: nesting=1,keyctl=1\n"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Node:
    """A fake node with the conf of container 910."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = root / "etc/pve/lxc/910.conf"
        self.lock = root / "run/lock/lxc/pve-config-910.lock"
        self.conf.parent.mkdir(parents=True)
        (root / "run").mkdir()
        self.conf.write_bytes(OLD)

    def start(self, new: bytes, before: bytes, after: str | None = None):
        return subprocess.Popen(
            ["sh", SCRIPT, "910", sha256(before), after or sha256(new)],
            env={**os.environ, "PHOENIX_ROOT": str(self.root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, new: bytes = NEW, before: bytes = OLD, after: str | None = None):
        """Run the script to its end; its exit code and what it said."""
        process = self.start(new, before, after)
        out, said = process.communicate(b64encode(new), timeout=60)
        assert out == b""
        return process.returncode, said.decode()

    @property
    def files(self):
        """All files there are, Proxmox's lock apart."""
        found = (path for path in self.root.rglob("*") if path.is_file() and path != self.lock)
        return [str(path.relative_to(self.root)) for path in found]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.fixture(autouse=True)
def nothing_else_is_left(node):
    yield
    assert node.files in (["etc/pve/lxc/910.conf"], [])


def test_the_new_conf_replaces_the_one_that_was_read(node):
    assert node.write() == (0, "")
    assert node.conf.read_bytes() == NEW
    assert node.conf.stat().st_mode & 0o777 == 0o640


def test_the_new_conf_is_on_disk_before_it_takes_the_place_of_the_old_one(node):
    # its PATH is its own: a function stands in for the tool
    sync = 'sync() { echo "${1##*/}"; cat "$PHOENIX_ROOT/etc/pve/lxc/910.conf"; }; . "$0"'
    done = subprocess.run(
        ["sh", "-c", sync, SCRIPT, "910", sha256(OLD), sha256(NEW)],
        env={**os.environ, "PHOENIX_ROOT": str(node.root)},
        input=b64encode(NEW),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    name, _, then = done.stdout.partition(b"\n")
    assert name.startswith(b"910.conf.tmp.")
    assert then == OLD
    assert node.conf.read_bytes() == NEW


@pytest.mark.parametrize(
    "new",
    [
        b"arch: amd64\r\nlxc.cap.drop:\r\n",
        b"#caf\xff\xe9\x00\x1c\x85\n",
        b"no line end",
        b"\n\n\n",
        b"",
        bytes(range(256)) * 4096,
    ],
)
def test_every_byte_arrives(node, new):
    assert node.write(new) == (0, "")
    assert node.conf.read_bytes() == new


def test_a_conf_that_somebody_changed_is_refused_and_untouched(node):
    node.conf.write_bytes(OLD + b"cores: 2\n")
    code, said = node.write()
    assert (code, said) == (
        2,
        "CT 910: somebody changed /etc/pve/lxc/910.conf since it was read: run it again\n",
    )
    assert node.conf.read_bytes() == OLD + b"cores: 2\n"


def test_a_conf_that_is_gone_is_not_made_anew(node):
    node.conf.unlink()
    code, said = node.write()
    assert code == 2
    assert "/etc/pve/lxc/910.conf is gone: was it destroyed or migrated?" in said
    assert not node.conf.exists()


def test_a_lock_that_another_task_holds_on_to_is_named(node, monkeypatch):
    monkeypatch.setenv("PHOENIX_PATIENCE", "1")
    with locked(node):
        code, said = node.write()
    assert code == 2
    assert "got no lock on /run/lock/lxc/pve-config-910.lock in 1 s: another task" in said
    assert node.conf.read_bytes() == OLD


def locked(node, command="sleep 30"):
    """A task that works under Proxmox's lock until the block ends."""
    node.lock.parent.mkdir(parents=True)

    class Holder:
        def __enter__(self):
            self.process = subprocess.Popen(
                ["flock", "-o", node.lock, "sh", "-c", f"echo held; exec {command}"],
                stdout=subprocess.PIPE,
            )
            self.process.stdout.readline()

        def __exit__(self, *_):
            self.process.stdout.close()
            self.process.terminate()
            self.process.wait()

    return Holder()


def test_a_writer_who_was_first_wins_and_we_say_so(node):
    changed = OLD + b"cores: 2\n"
    with locked(node, "sh -c 'sleep 1; echo cores: 2 >>\"$0\"' " + str(node.conf)):
        code, said = node.write()
    assert code == 2
    assert "somebody changed" in said
    assert node.conf.read_bytes() == changed


def test_of_many_writers_who_read_the_same_conf_one_wins(node):
    news = [NEW + f"cores: {n}\n".encode() for n in range(8)]
    writers = [node.start(new, OLD) for new in news]
    codes = []
    for process, new in zip(writers, news, strict=True):
        process.communicate(b64encode(new), timeout=60)
        codes.append(process.returncode)
    assert sorted(codes) == [0, *[2] * 7]
    assert node.conf.read_bytes() == news[codes.index(0)]


def test_a_line_that_drops_halfway_changes_nothing(node):
    code, said = node.write(NEW[:12], after=sha256(NEW))
    assert code == 1
    assert "the new conf did not arrive whole: nothing was changed: run it again" in said
    assert node.conf.read_bytes() == OLD


def test_nobody_waits_for_our_lock_while_a_slow_line_delivers(node):
    process = node.start(NEW, OLD)
    time.sleep(0.5)
    node.lock.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["flock", "-n", node.lock, "true"], check=True)
    process.communicate(b64encode(NEW), timeout=60)
    assert process.returncode == 0


def test_a_conf_that_pmxcfs_would_cut_off_is_refused(node):
    code, said = node.write(b"#" * (1024 * 1024 + 1))
    assert code == 2
    assert "larger than the 1 MiB that pmxcfs holds" in said
    assert node.conf.read_bytes() == OLD


def test_a_folder_that_takes_no_file_is_said_with_the_next_step(node):
    # root writes everywhere: a directory in the way is what stops it
    blocked = 'mkdir "$1.tmp.$$"; shift; exec sh "$@"'
    process = subprocess.Popen(
        ["sh", "-c", blocked, "-", node.conf, SCRIPT, "910", sha256(OLD), sha256(NEW)],
        env={**os.environ, "PHOENIX_ROOT": str(node.root)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, said = process.communicate(b64encode(NEW), timeout=60)
    assert process.returncode == 1
    assert b"cannot write beside /etc/pve/lxc/910.conf: nothing was changed" in said
    assert b"pvecm status" in said
    assert node.conf.read_bytes() == OLD


def test_whoever_ends_it_leaves_nothing_behind(node):
    process = node.start(NEW, OLD)
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert node.conf.read_bytes() == OLD
