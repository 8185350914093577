"""`node follow` on a real kernel with a real auditd: what is refused is told at once, once."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import time
from contextlib import contextmanager

import pytest

from node.pack import BOOT, stdin

pytestmark = pytest.mark.lab

#: What an emulated node may take for all else than telling.
PATIENCE = 120

PROFILE = "profile lxc-follow-test { file, capability, signal, audit deny /srv/follow/** r, }"

#: auditd's own rotation; logrotate's with `copytruncate`; the new file that one makes by hand.
ROTATIONS = {
    "by auditd": "kill -USR1 $(pidof auditd)",
    "by copying": "cd /var/log/audit; cp -p audit.log audit.log.1; : >audit.log",
    "by renaming": "cd /var/log/audit; mv audit.log audit.log.1; kill -HUP $(pidof auditd)",
}


class Stream:
    """The events of a stream."""

    def __init__(self, process):
        self.process, self.rest, self.told = process, b"", []

    def next(self, kind, name="", patience=PATIENCE):
        """The next event of this kind, and about this file."""
        deadline = time.monotonic() + patience
        while True:
            while b"\n" not in self.rest:
                left = deadline - time.monotonic()
                assert left > 0, (kind, name, self.told[-5:])
                if select.select([self.process.stdout], [], [], left)[0]:
                    piece = os.read(self.process.stdout.fileno(), 65536)
                    assert piece, self.told[-5:]
                    self.rest += piece
            said, _, self.rest = self.rest.partition(b"\n")
            event = json.loads(said)
            self.told.append(event)
            if event["event"] == kind and name in event.get("text", ""):
                return event


@contextmanager
def following(node, after=None):
    words = ["python3", "-I", "-c", BOOT, "follow"]
    process = subprocess.Popen(
        node.target.command([shlex.join(words)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        process.stdin.write(stdin({"only": [], "after": after}).encode())
        process.stdin.flush()
        yield Stream(process)
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


@pytest.fixture
def node(clean_lab):
    clean_lab.ssh("mkdir -p /srv/follow; apparmor_parser -r", input=PROFILE)
    return clean_lab


def deny(node, name, first=":"):
    """A process under that profile is refused a file, and lives for a while after that."""
    reads = f"read line </srv/follow/{name}; sleep 20"
    tries = f"{first}; exec aa-exec -p lxc-follow-test -- sh -c {shlex.quote(reads)}"
    node.ssh(
        f"touch /srv/follow/{name}; "
        f"setsid sh -c {shlex.quote(tries)} </dev/null >/dev/null 2>&1 & sleep 1"
    )


def test_a_denial_is_told_within_two_seconds_with_whose_it_is(node):
    with following(node) as stream:
        assert stream.next("source")["source"] == "audit.log"
        group = "/sys/fs/cgroup/lxc/910/ns/init.scope/cgroup.procs"
        deny(node, "a", first=f"echo $$ >{group}")
        event = stream.next("denial", "/srv/follow/a", patience=2)
        assert (event["owner"], event["sharing"]) == ([910, "", ""], [])
        deny(node, "b")
        assert stream.next("denial", "/srv/follow/b", patience=2)["owner"] is None


def test_rotations_and_restarts_of_auditd_lose_nothing_and_repeat_nothing(node):
    with following(node) as stream:
        stream.next("source")
        for number, rotate in enumerate(ROTATIONS.values()):
            deny(node, f"before-{number}")
            node.ssh(rotate)
            deny(node, f"after-{number}")
            stream.next("denial", f"/srv/follow/after-{number}")
        node.ssh("systemctl restart auditd")
        deny(node, "restarted")
        stream.next("denial", "/srv/follow/restarted")
        texts = [one["text"] for one in stream.told if one["event"] == "denial"]
        for number in range(len(ROTATIONS)):
            assert sum(f"/srv/follow/before-{number}" in text for text in texts) == 1
        assert not [one for one in stream.told if one["event"] == "again" and one["count"] > 1]


def test_while_auditd_is_stopped_another_log_is_followed_and_that_is_said(node):
    with following(node) as stream:
        stream.next("source")
        node.ssh("systemctl stop auditd")
        event = stream.next("source")
        assert event["source"] != "audit.log"
        assert "apt install auditd" in event["missing"]
        deny(node, "stopped")
        node.ssh("systemctl start auditd")
        assert stream.next("source")["source"] == "audit.log"
        deny(node, "started")
        stream.next("denial", "/srv/follow/started")


def test_a_new_stream_goes_on_where_the_last_one_was(node):
    with following(node) as stream:
        stream.next("source")
        deny(node, "a")
        last = stream.next("denial", "/srv/follow/a")
    deny(node, "b")
    node.ssh(ROTATIONS["by auditd"])
    deny(node, "c")
    with following(node, after=[last["at"], last["serial"]]) as stream:
        stream.next("denial", "/srv/follow/b")
        stream.next("denial", "/srv/follow/c")
        assert not [one for one in stream.told if "/srv/follow/a" in one.get("text", "")]
    # nothing of it stays on the node
    assert not node.ssh("pgrep -f '[p]hoenix-harden.* follow'", check=False).stdout
