"""The verb that writes a conf, against a fake root; tests/lab has it on a real node."""

import hashlib
import subprocess
import sys
import time

import pytest
from script_node import ScriptNode
from synced import Fsynced

from node.pack import stdin

OLD = b"arch: amd64\nfeatures: nesting=1\n"
NEW = b"arch: amd64\nfeatures: nesting=1,keyctl=1\n"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def asked(new):
    """What the verb reads."""
    return stdin({"text": new.decode("utf-8", "surrogateescape")}).encode()


class Node(ScriptNode):
    """A fake node with the conf of container 910."""

    def __init__(self, folder):
        super().__init__(folder)
        self.conf = self.root / "etc/pve/lxc/910.conf"
        self.lock = self.root / "run/lock/lxc/pve-config-910.lock"
        self.conf.parent.mkdir(parents=True)
        (self.root / "run/lock").mkdir(parents=True)
        self.conf.write_bytes(OLD)

    def start(self, new=NEW, before=OLD, after=None, shell=()):
        """Begin to run it, from a shell's command if one is given."""
        words = ("write-conf", "910", sha256(before), after or sha256(new))
        return subprocess.Popen(
            [*shell, sys.executable, "-I", "-c", self.boot, *words],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, new=NEW, before=OLD, after=None, shell=()):
        """Run the verb to its end; its exit code and what it said."""
        process = self.start(new, before, after, shell)
        said, errors = process.communicate(asked(new), timeout=60)
        assert errors == b""
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
    synced = Fsynced(node, node.conf)
    assert node.write() == (0, "")
    ((name, then),) = (call for call in synced.calls if call[0].startswith("910."))
    assert name.startswith("910.conf.tmp.")
    assert then == " ".join(OLD.decode().split())
    assert node.conf.read_bytes() == NEW


def test_a_file_system_that_puts_it_on_disk_by_itself_is_taken_at_its_word(node):
    Fsynced(node, node.conf).fails_for("910.conf.tmp.")
    assert node.write() == (0, "")


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
        process.communicate(asked(new), timeout=60)
        codes.append(process.returncode)
    assert sorted(codes) == [0, *[2] * 7]
    assert node.conf.read_bytes() == news[codes.index(0)]


def test_a_text_that_is_not_the_planned_one_changes_nothing(node):
    code, said = node.write(NEW[:12], after=sha256(NEW))
    assert code == 1
    assert "the new conf did not arrive whole: nothing was changed: run it again" in said
    assert node.conf.read_bytes() == OLD


@pytest.mark.parametrize("left", [0.5, 0.9, 0.97])
def test_a_line_that_drops_halfway_changes_nothing(node, left):
    process = node.start()
    program, request = asked(NEW).splitlines(keepends=True)
    said, _ = process.communicate(program + request[: int(len(request) * left)], timeout=60)
    assert process.returncode == 1
    assert b"did not arrive whole; nothing was changed" in said
    assert node.conf.read_bytes() == OLD


def test_nobody_waits_for_our_lock_while_a_slow_line_delivers(node):
    process = node.start()
    time.sleep(0.5)
    node.lock.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["flock", "-n", node.lock, "true"], check=True)
    process.communicate(asked(NEW), timeout=60)
    assert process.returncode == 0


def test_a_conf_that_pmxcfs_would_cut_off_is_refused(node):
    code, said = node.write(b"#" * (1024 * 1024 + 1))
    assert code == 2
    assert "larger than the 1 MiB that pmxcfs holds" in said
    assert node.conf.read_bytes() == OLD


def test_a_folder_that_takes_no_file_is_said_with_the_next_step(node):
    # root writes everywhere: a directory in the way is what stops it
    blocked = ("sh", "-c", 'mkdir "$0.tmp.$$"; exec "$@"', node.conf)
    code, said = node.write(shell=blocked)
    assert code == 1
    assert "cannot write beside /etc/pve/lxc/910.conf: nothing was changed" in said
    assert "pvecm status" in said
    assert node.conf.read_bytes() == OLD


def test_whoever_ends_it_leaves_nothing_behind(node):
    # it writes, and cannot go on from there
    Fsynced(node, node.conf).stops_at("910.conf.tmp.")
    process = node.start()
    process.stdin.write(asked(NEW))
    process.stdin.flush()
    (new,) = wait_for(lambda: [*node.conf.parent.glob("910.conf.tmp.*")])
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert not new.exists()
    assert node.conf.read_bytes() == OLD


def wait_for(found):
    """What it finds, once there is something."""
    for _ in range(200):
        if there := found():
            return there
        time.sleep(0.05)
    raise AssertionError("it never came")
