"""`node follow` against a tree of files that looks like a node: what comes, and when it ends."""

import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.pack import stdin
from tests.unit.script_node import ScriptNode
from tests.unit.test_audit_line import line as audit_line

PATIENCE = 20


class Followed:
    """A stream as the operator's side reads it."""

    def __init__(self, process):
        self.process, self.rest, self.events = process, b"", []

    def next(self, *, patience=PATIENCE, **like):
        """The next event that has these values; those before it are in `events`."""
        deadline = time.monotonic() + patience
        while True:
            event = self._event(deadline, like)
            self.events.append(event)
            if all(event.get(name) == value for name, value in like.items()):
                return event

    def _event(self, deadline, like):
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, (like, self.events[-5:])
            self.rest += piece
        said, _, self.rest = self.rest.partition(b"\n")
        assert len(said) < 16 * 1024
        return json.loads(said)

    def denial(self, name, **like):
        """The next new kind, which is about this file."""
        while True:
            event = self.next(event="denial", **like)
            if f'name="{name}"' in event["text"]:
                return event


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.serial = 100
        self.log = self.has("/var/log/audit/audit.log", "type=DAEMON_START msg=audit(1.0:1): x\n")
        self.kernel = self.fake / "kernel"
        self.kernel.touch()
        self.tool("systemctl", '[ "$*" = "-q is-active auditd" ] && [ -e "$FAKE/auditd" ]')
        self.tool("journalctl", 'exec tail -n +1 -f "$FAKE/kernel"')
        self.tool("auditctl", "exit 1")
        (self.fake / "auditd").touch()

    def denies(self, name, *, file=None, serial=None, **more):
        """auditd, or the kernel, writes a line."""
        if serial is None:
            self.serial += 1
            serial = self.serial
        text = audit_line(time.time() + serial / 1000, name=name, **more)
        with (file or self.log).open("a") as out:
            out.write(f"{text}\n".replace(":4769)", f":{serial})"))
        return serial

    @contextmanager
    def follow(self, after=None, only=()):
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", self.boot, "follow"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**self.environment, "PHOENIX_GUEST_TIMEOUT": "1"},
        )
        with process:
            process.stdin.write(stdin({"only": [*only], "after": after}).encode())
            process.stdin.flush()
            yield Followed(process)
            process.stdin.close()
            assert process.wait(PATIENCE) == 0

    def runs(self, ctid, label):
        """A container that runs under this label."""
        self.has(f"/etc/pve/lxc/{ctid}.conf", "arch: amd64\n")
        self.has(f"/sys/fs/cgroup/lxc/{ctid}/ns/init.scope/cgroup.procs", f"{ctid}\n")
        self.has(f"/proc/{ctid}/status", f"NSpid:\t{ctid}\t1\n")
        self.has(f"/proc/{ctid}/attr/apparmor/current", f"{label}\n")

    def lives(self, pid, group):
        """A process of long ago."""
        fields = " ".join(["S", "1", *["0"] * 17, "1"])
        self.has(f"/proc/{pid}/stat", f"{pid} (a) {fields}\n")
        self.has(f"/proc/{pid}/cgroup", f"0::{group}\n")


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def followed(stream):
    """That it has begun: the log is open by then."""
    return stream.next(event="source")


def test_a_denial_is_told_within_two_seconds_and_then_how_often_it_was(node):
    node.denies("/before")
    with node.follow() as stream:
        assert followed(stream) == {"event": "source", "source": "audit.log", "missing": ""}
        began = time.monotonic()
        serial = node.denies("/a")
        event = stream.denial("/a")
        assert time.monotonic() - began < 2
        assert (event["serial"], event["pid"], event["count"]) == (serial, 7, 1)
        assert (event["owner"], event["sharing"]) == (None, [])
        for _ in range(3):
            last = node.denies("/a")
        again = stream.next(event="again", count=4)
        assert (again["serial"], again["text"]) == (last, event["text"])
        assert {one["event"] for one in stream.events} <= {"source", "denial", "again", "alive"}


def test_it_ends_with_its_line(node):
    with node.follow() as stream:
        followed(stream)
    # and where nobody reads any more
    with node.follow() as stream:
        followed(stream)
        stream.process.stdout.close()
        node.denies("/a")
        assert stream.process.wait(PATIENCE) == 0


def test_a_rotation_by_rename_loses_nothing_and_repeats_nothing(node):
    with node.follow() as stream:
        followed(stream)
        node.denies("/a")
        stream.denial("/a")
        # written between two looks, in three files
        node.denies("/b")
        node.log.rename(node.log.with_name("audit.log.2"))
        node.denies("/c")
        node.log.rename(node.log.with_name("audit.log.1"))
        node.denies("/d")
        assert [stream.denial(name)["count"] for name in ("/b", "/c", "/d")] == [1, 1, 1]
        node.denies("/end")
        stream.denial("/end")
        assert not [one for one in stream.events if one["event"] == "again"]


def test_a_sign_of_life_names_the_last_line_also_where_the_file_after_a_rotation_is_empty(node):
    with node.follow() as stream:
        followed(stream)
        serial = node.denies("/a")
        stream.denial("/a")
        node.log.rename(node.log.with_name("audit.log.1"))
        node.log.touch()
        assert stream.next(event="alive")["serial"] == serial
        node.denies("/b")
        stream.denial("/b")
        assert [one["event"] for one in stream.events].count("source") == 1


@pytest.mark.parametrize("grown", [False, True])
def test_a_log_that_is_copied_and_cut_loses_nothing_and_repeats_nothing(node, grown):
    with node.follow() as stream:
        followed(stream)
        node.denies("/a")
        stream.denial("/a")
        node.denies("/b")
        node.log.with_name("audit.log.1").write_bytes(node.log.read_bytes())
        size = node.log.stat().st_size
        node.log.write_text("x" * size + "\n" if grown else "")
        node.denies("/c")
        stream.denial("/c")
        node.denies("/end")
        stream.denial("/end")
        told = [one["text"] for one in stream.events if one["event"] == "denial"]
        assert [name for name in ("/a", "/b", "/c") if sum(name in one for one in told) != 1] == []
        assert not [one for one in stream.events if one["event"] == "again"]


def test_without_auditd_the_kernels_own_log_is_followed_and_then_the_file_again(node):
    with node.follow() as stream:
        followed(stream)
        node.denies("/a")
        stream.denial("/a")
        (node.fake / "auditd").unlink()
        seen = node.denies("/seen", file=node.kernel)
        event = stream.next(event="source")
        assert (event["source"], "apt install auditd" in event["missing"]) == ("kernel log", True)
        stream.denial("/seen")
        # what the kernel has kept for auditd meanwhile, older than what it has printed
        node.denies("/kept", serial=seen - 1)
        node.denies("/seen", serial=seen)
        (node.fake / "auditd").touch()
        assert stream.next(event="source")["source"] == "audit.log"
        node.denies("/b")
        stream.denial("/b")
        told = [one["text"] for one in stream.events if one["event"] == "denial"]
        assert sum("/kept" in one for one in told) == 1


def test_a_new_stream_goes_on_where_the_last_one_ended(node):
    with node.follow() as stream:
        followed(stream)
        node.denies("/a")
        last = stream.denial("/a")
    node.denies("/b")
    node.log.rename(node.log.with_name("audit.log.1"))
    node.denies("/c")
    with node.follow(after=[last["at"], last["serial"]]) as stream:
        assert [stream.denial(name)["count"] for name in ("/b", "/c")] == [1, 1]
        assert not [one for one in stream.events if "/a" in one.get("text", "")]


def test_a_flood_is_told_as_one_and_hides_nothing_of_another_profile(node):
    with node.follow() as stream:
        followed(stream)
        with node.log.open("a") as out:
            for n in range(20_000):
                text = audit_line(2_000_000_000 + n / 1e5, name=f"/flood/{n}")
                out.write(f"{text}\n".replace(":4769)", f":{1000 + n})"))
        node.denies("/other", profile="lxc-b")
        stream.denial("/other")
        flood = stream.next(event="flood")
        while flood["lines"] < 19_000:
            flood = stream.next(event="flood")
        assert (flood["profile"], flood["kinds"] > 10_000) == ("lxc-a", True)
        told = [one for one in stream.events if one["event"] == "denial"]
        assert len(told) < 200
        status = Path(f"/proc/{stream.process.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) < 60 * 1024


ENGINE = "e3" * 32


def test_whose_process_it_is_is_told_while_it_lives_and_its_name_once_it_is_known(node):
    node.runs(910, "lxc-a (enforce)")
    node.runs(952, "lxc-a (enforce)")
    node.lives(7, f"/lxc/910/ns/system.slice/docker-{ENGINE}.scope")
    node.tool("lxc-attach", 'case "$*" in *"-n 910 "*inspect*) echo /web ;; *) exit 1 ;; esac')
    with node.follow() as stream:
        followed(stream)
        node.denies("/0")
        event = stream.denial("/0")
        assert (event["owner"], event["sharing"]) == ([910, ENGINE, ""], [910, 952])
        for n in range(1, 40):
            node.denies(f"/{n}")
            if stream.denial(f"/{n}")["owner"] == [910, ENGINE, "web"]:
                break
        else:
            pytest.fail("no name")


def test_a_name_that_no_engine_gives_is_not_told_and_a_guest_that_hangs_holds_up_nobody(node):
    node.runs(910, "lxc-a (enforce)")
    node.lives(7, f"/lxc/910/ns/docker/{ENGINE}")
    node.tool("lxc-attach", 'printf "\\033[2J" ; touch "$FAKE/hung"; exec sleep 60')
    with node.follow() as stream:
        followed(stream)
        node.denies("/a")
        assert stream.denial("/a")["owner"] == [910, ENGINE, ""]
        node.denies("/b")
        began = time.monotonic()
        assert stream.denial("/b")["owner"] == [910, ENGINE, ""]
        assert time.monotonic() - began < 2


def test_only_what_may_be_of_the_containers_that_are_asked_for_is_told(node):
    node.runs(910, "lxc-a (enforce)")
    node.runs(952, "lxc-a (enforce)")
    node.runs(953, "lxc-c (enforce)")
    node.lives(7, "/lxc/952/ns/init.scope")
    node.lives(8, "/lxc/910/ns/init.scope")
    with node.follow(only=[910]) as stream:
        followed(stream)
        node.denies("/952")
        node.denies("/953", profile="lxc-c")
        node.denies("/953-too", profile="lxc-953_</var/lib/lxc>")
        node.denies("/910", pid=8)
        node.denies("/maybe", pid=9)
        node.denies("/unknown", profile="lxc-z", pid=9)
        stream.denial("/unknown")
        told = [one["text"] for one in stream.events if one["event"] == "denial"]
        assert [text.partition('name="')[2].partition('"')[0] for text in told] == [
            *("/910", "/maybe", "/unknown")
        ]


def test_a_container_that_was_just_started_is_known_by_its_profile(node):
    node.runs(910, "lxc-a (enforce)")
    with node.follow(only=[953]) as stream:
        followed(stream)
        node.denies("/nobodys", profile="lxc-c", pid=9)
        stream.denial("/nobodys")
        node.runs(953, "lxc-c//child (enforce)")
        began, sharing, number = time.monotonic(), [], 0
        while sharing != [953]:
            number += 1
            node.denies(f"/{number}", profile="lxc-c//child", pid=9)
            sharing = stream.denial(f"/{number}")["sharing"]
            # long before the labels of all are looked up anew
            assert time.monotonic() - began < 8


def test_a_profile_that_nobody_runs_under_is_of_the_container_that_it_is_called_after(node):
    with node.follow(only=[910]) as stream:
        followed(stream)
        node.denies("/952", profile="lxc-a-952", pid=9)
        node.denies("/910", profile="lxc-a-910-ns-complain", pid=9)
        assert stream.denial("/910")["sharing"] == [910]
        assert not [one for one in stream.events if "/952" in one.get("text", "")]


def test_an_event_fits_in_its_line_whatever_a_container_has_the_log_say(node):
    with node.follow() as stream:
        followed(stream)
        node.denies("/" + "\x01" * 15_000)
        node.denies("/" + "é" * 7_000)
        node.denies('/"' + "a" * 14_000)
        node.denies("/end")
        stream.denial("/end")
        assert [one["event"] for one in stream.events].count("denial") == 4
