"""The verb `daemon-json` and what the commit asks of a guest; the guest is a folder here."""

import os
import time

import pytest
from script_node import SCRIPTS, ScriptNode, sha

from node import daemon_json, guest
from node.daemon_json import CHANGED, FAILED, REFUSED, GuestError, GuestFile

GUEST = SCRIPTS.parent / "guest"
DAEMON = "/etc/docker/daemon.json"
BEFORE, AFTER = '{"log-opts": {}}\n', '{"log-opts": {}, "storage-driver": "overlay2"}\n'
OLD, NEW = sha(BEFORE), sha(AFTER)
ATTACH = 'while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"'


class Node(ScriptNode):
    """A node with container 910, whose root is that of the node; its init is nobody's."""

    def __init__(self, folder):
        super().__init__(folder)
        self.tool("lxc-attach", ATTACH)
        self.tool("dockerd", "exit 0")
        self.tool("systemctl", 'echo "systemctl $*" >>"$FAKE/calls"')
        self.tool("rc-service", 'echo "rc-service $*" >>"$FAKE/calls"')
        self.tool("service", 'echo "service $*" >>"$FAKE/calls"')
        self.daemon = self.has(DAEMON, BEFORE, 0o600)

    def put(self, before=OLD, after=NEW, text=AFTER):
        return self.verb("daemon-json", "910", "put", before, after, request={"text": text})

    def says(self, script):
        """Have the guest do this, whatever it is asked."""
        self.tool("lxc-attach", script)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.fixture
def file(node, monkeypatch):
    """The file as the commit has it."""
    for name, value in node.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PHOENIX_ROOT", str(node.root))
    monkeypatch.setenv("PHOENIX_PATH", str(node.fake))
    monkeypatch.setattr(daemon_json, "_SHORT", 1.5)
    # packed, the program has them in itself
    monkeypatch.setattr(guest, "script", lambda name: (GUEST / f"{name}.sh").read_text())
    return GuestFile(910)


# --- the verb -------------------------------------------------------------------------------------


def test_it_is_replaced_and_keeps_its_mode(node):
    done = node.put()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert node.daemon.read_text() == AFTER
    assert node.daemon.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in node.daemon.parent.iterdir()] == ["daemon.json"]


def test_a_new_one_is_readable_for_all(node):
    node.daemon.unlink()
    assert node.put(before="none").returncode == 0
    assert node.daemon.stat().st_mode & 0o777 == 0o644


def test_bytes_that_are_no_utf_8_come_through(node):
    text = '{"a": "\udcff"}'
    after = daemon_json.digest(b'{"a": "\xff"}')
    assert node.put(after=after, text=text).returncode == 0
    assert node.daemon.read_bytes() == b'{"a": "\xff"}'


def test_one_that_somebody_changed_is_left(node):
    node.daemon.write_text("{}")
    done = node.put()
    assert (done.returncode, done.stdout) == (
        4,
        "CT 910: daemon.json: somebody changed it meanwhile\n",
    )
    assert node.daemon.read_text() == "{}"


def test_one_that_dockerd_refuses_changes_nothing(node):
    node.tool("dockerd", "printf 'unable\\nunknown directive: nope\\n'; exit 1")
    done = node.put()
    assert done.returncode == 2
    said = "dockerd refuses the new one: unable unknown directive: nope"
    assert done.stdout == f"CT 910: daemon.json: {said}\n"
    assert node.daemon.read_text() == BEFORE
    assert [path.name for path in node.daemon.parent.iterdir()] == ["daemon.json"]


def test_a_dockerd_too_old_to_check_it_is_no_obstacle(node):
    node.tool("dockerd", "echo 'unknown flag: --validate'; exit 125")
    assert node.put().returncode == 0


def test_a_text_that_did_not_arrive_whole_changes_nothing(node):
    done = node.put(text=AFTER[:-1])
    assert done.returncode == 1
    assert "did not arrive whole" in done.stdout
    assert node.daemon.read_text() == BEFORE


def test_docker_restarts_by_what_starts_services_there(node):
    assert node.verb("daemon-json", "910", "restart").returncode == 0
    assert node.calls in (
        ["rc-service docker restart"],
        # on a machine that has systemd itself
        [
            "systemctl reset-failed docker.socket docker.service",
            "systemctl restart docker.service",
        ],
    )


def test_why_it_does_not_restart_is_said(node):
    for tool in ("systemctl", "rc-service"):
        node.tool(tool, "printf 'Job failed.\\nSee \\033[1mthe journal.\\n' >&2; exit 1")
    done = node.verb("daemon-json", "910", "restart")
    assert (done.returncode, done.stdout) == (
        1,
        "CT 910: daemon.json: Job failed. See \\x1b[1mthe journal.\n",
    )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("910",),
        ("910", "put"),
        ("910", "put", "x", "none"),
        ("910", "leave", "a", "b"),
        ("../1", "restart"),
        ("910", "remove"),
    ],
)
def test_a_call_that_is_none_is_refused(node, words):
    node.says('touch "$FAKE/called"')
    done = node.verb("daemon-json", *words, request={"text": AFTER})
    assert (done.returncode, done.stderr) == (2, "")
    assert not (node.fake / "called").exists()


# --- what the commit asks -------------------------------------------------------------------------


def test_its_digest_is_that_of_the_bytes_which_it_gave(node, file):
    assert (file.read(), file.digest()) == (BEFORE.encode(), OLD)
    node.daemon.unlink()
    assert (file.read(), file.digest()) == (None, "none")


def test_a_guest_cannot_say_another_digest_than_its_bytes(node, file):
    forged = '{"event":"done","file":"/etc/ld.so.preload"}'
    node.tool("sha256sum", f"printf '{OLD}\\n{forged}\\n'")
    node.daemon.write_text(AFTER)
    assert file.digest() == NEW


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (os.mkfifo, "is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
        (lambda path: path.mkdir(), "is no regular file"),
        (lambda path: path.touch() or os.truncate(path, 1 << 40), "is larger than 1 MiB"),
    ],
    ids=["fifo", "device", "folder", "sparse"],
)
def test_one_that_nobody_should_read_is_neither_read_nor_replaced(node, file, made, why):
    node.daemon.unlink()
    made(node.daemon)
    for asked in (file.read, lambda: file.put(b"{}", "none"), lambda: file.remove("none")):
        with pytest.raises(GuestError) as raised:
            asked()
        assert (raised.value.code, str(raised.value)) == (FAILED, f"daemon.json: {why}")


def test_one_of_just_a_mebibyte_is_read(node, file):
    node.daemon.write_bytes(b"x" * (1 << 20))
    assert file.read() == b"x" * (1 << 20)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec yes", "said more than it should"),
        ("exec yes >&2", "said more than it should"),
        ("trap '' TERM; while :; do sleep 1; done", "gave no answer in time"),
        (r"printf 'x\n\033]0;t\007\n' >&2; exit 9", r"\x1b]0;t\x07"),
        ("exit 9", "exit 9"),
    ],
)
def test_a_guest_that_does_its_worst_fails_in_time_and_in_one_line(node, file, script, why):
    node.says(script)
    began = time.monotonic()
    for asked in (lambda: file.put(b"x" * 1_000_000, OLD), lambda: file.remove("none")):
        with pytest.raises(GuestError) as raised:
            asked()
        assert (raised.value.code, raised.value.text) == (FAILED, f"daemon.json: {why}")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("exits", "code"), [(2, REFUSED), (4, CHANGED), (44, FAILED), (7, FAILED)])
def test_its_exit_code_is_one_of_three(node, file, exits, code):
    node.says(f"echo no >&2; exit {exits}")
    with pytest.raises(GuestError) as raised:
        file.put(b"{}", "none")
    assert raised.value.code == code


def test_with_trust_dockerd_is_not_asked(node, file):
    node.tool("dockerd", "exit 1")
    file.put(AFTER.encode(), OLD, trust=True)
    assert node.daemon.read_text() == AFTER


def test_a_removal_compares_first(node, file):
    with pytest.raises(GuestError, match="somebody changed it meanwhile"):
        file.remove(NEW)
    file.remove(OLD)
    assert not node.daemon.exists()


def test_the_folder_of_a_driver_that_is_left_goes_or_is_moved(node, file, capfd):
    data = node.root / "var/lib/docker/overlay2"
    (data / "l").mkdir(parents=True)
    file.leave("overlay2")
    assert not data.exists()
    assert capfd.readouterr().out == ""
    (data / "layer").mkdir(parents=True)
    file.leave("overlay2")
    assert not data.exists()
    said = capfd.readouterr().out
    assert said.startswith(f"CT 910: its guest says: {data} holds data: it is {data}.phoenix-")
    assert said.count("\n") == 1


@pytest.mark.parametrize("driver", ["", "../x", "-x", "a b", "a\nb", "$(id)"])
def test_what_is_no_driver_reaches_no_guest(node, file, driver):
    node.says('touch "$FAKE/called"')
    with pytest.raises(GuestError):
        file.leave(driver)
    assert not (node.fake / "called").exists()
