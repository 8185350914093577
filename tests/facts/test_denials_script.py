"""denials.sh against a tree of files that looks like a node, with a fake journal."""

import os
import subprocess

import pytest
from pyinfra.api.command import StringCommand

import facts.audit
from facts.audit import Denials

LINE = (
    'type=AVC msg=audit({time}:4769): apparmor="{verdict}" operation="open" class="file" '
    'profile="{profile}" name="{name}" pid={pid} comm="dd" requested_mask="r" fsuid=0 ouid=0'
    '\x1dFSUID="root"'
)


def line(time, verdict="DENIED", profile="lxc-a", name="/a", pid=7):
    return LINE.format(time=f"{time:.3f}", verdict=verdict, profile=profile, name=name, pid=pid)


class Node:
    def __init__(self, folder):
        self.folder, self.fake = folder, folder / "fake"
        self.logs = folder / "var/log/audit"
        self.logs.mkdir(parents=True)
        self.fake.mkdir()
        self.tool("systemctl", '[ "$*" = "-q is-active auditd" ] && [ -e "$FAKE/auditd" ]')
        self.tool("journalctl", 'echo "$*" >>"$FAKE/asked"; cat "$FAKE/kernel"')
        self.tool("date", "echo 2000000000")
        (self.fake / "auditd").touch()

    def tool(self, name, script):
        (self.fake / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.fake / name).chmod(0o755)

    def log(self, *lines, name="audit.log", written=2_000_000_000):
        file = self.logs / name
        file.write_text("".join(f"{text}\n" for text in lines))
        os.utime(file, (written, written))

    def see(self, *since):
        done = subprocess.run(
            ["/bin/sh", "-c", StringCommand(Denials().command(since)).get_raw_value()],
            env={
                "PATH": f"{self.fake}:{os.environ['PATH']}",
                "PHOENIX_ROOT": str(self.folder),
                "FAKE": str(self.fake),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return Denials().process([text.strip() for text in done.stdout.splitlines()])


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def counts(seen):
    return sorted((one["name"], one.count, one.last) for one in seen.denials)


def test_equal_lines_of_different_processes_are_counted_and_the_last_time_told(node):
    node.log(line(1795304458.16, pid=1), line(1795304459.5, pid=2), line(1795304460, name="/b"))
    seen = node.see(1795304458)
    assert (seen.source, seen.begins, seen.left) == ("audit.log", None, 0)
    assert counts(seen) == [("/a", 2, 1795304459.5), ("/b", 1, 1795304460.0)]
    assert "FSUID" not in seen.denials[0].fields


def test_folders_of_processes_are_not_told_apart(node):
    node.log(line(1795304458, name="/proc/17/mem"), line(1795304459, name="/proc/18/mem"))
    assert counts(node.see(1795304458)) == [("/proc/*/mem", 2, 1795304459.0)]


def test_lines_before_and_after_a_start_are_counted_apart(node):
    node.log(line(1795304458), line(1795304461), line(1795304462))
    assert counts(node.see(1795304450, 1795304460)) == [
        ("/a", 1, 1795304458.0),
        ("/a", 2, 1795304462.0),
    ]


def test_only_refusals_to_containers_after_that_time_are_told(node):
    node.log(
        line(1795304457.9),
        line(1795304458, "STATUS"),
        line(1795304458, profile="usr.bin.man"),
        'type=AVC msg=audit(1795304458.000:1): apparmor="DENIED" operation="change_profile" '
        'namespace="root//lxc-910_<-var-lib-lxc>" profile="unconfined" name="c"',
        line(1795304458, "ALLOWED", "/usr/bin/lxc-start", "d"),
        "type=SYSCALL msg=audit(1795304458.000:1): arch=c000003e",
        "noise",
    )
    seen = node.see(1795304458)
    assert counts(seen) == [("c", 1, 1795304458.0), ("d", 1, 1795304458.0)]
    assert [one.complain for one in sorted(seen.denials, key=lambda one: one["name"])] == [
        False,
        True,
    ]


def test_rotated_logs_are_read_as_far_back_as_needed(node):
    node.log(line(1795304300), name="audit.log.2", written=1795304310)
    node.log(line(1795304400), name="audit.log.1", written=1795304410)
    node.log(line(1795304500))
    seen = node.see(1795304350)
    assert counts(seen) == [("/a", 2, 1795304500.0)]
    assert seen.begins is None
    # longer ago than the oldest of them
    assert node.see(1795304200).begins == 1795304300


def test_without_auditd_the_kernels_own_log_is_read_even_if_an_old_audit_log_lies_there(node):
    node.log(line(1795304458, name="/old"))
    (node.fake / "auditd").unlink()
    kernel = line(1795304459).replace("type=AVC msg=audit(", "audit: type=1400 audit(")
    (node.fake / "kernel").write_text(f"{kernel}\nsomething else\n")
    seen = node.see(1795304458, 1795304470)
    assert (seen.source, seen.begins) == ("kernel log", None)
    assert counts(seen) == [("/a", 1, 1795304459.0)]
    asked = (node.fake / "asked").read_text()
    assert asked == "-q -o cat _TRANSPORT=kernel --since @1795304458\n"


def test_a_time_ago_is_reckoned_by_the_nodes_own_clock(node):
    node.log(line(1999992799), line(1999992801, name="/b"))
    assert counts(node.see(-7200)) == [("/b", 1, 1999992801.0)]


def test_more_kinds_than_anybody_reads_are_only_counted(node, monkeypatch):
    monkeypatch.setattr(facts.audit, "MOST_KINDS", 2)
    node.log(*(line(1795304458 + number, name=f"/{number % 4}") for number in range(8)))
    seen = node.see(1795304458)
    assert [(name, count) for name, count, _ in counts(seen)] == [("/0", 2), ("/1", 2)]
    assert seen.left == 4


def test_a_node_without_any_log_says_only_where_it_looked(node):
    (node.fake / "kernel").touch()
    seen = node.see(1795304458)
    assert (seen.source, seen.denials) == ("kernel log", ())
