"""node/denials.py against a tree of files that looks like a node, with a fake journal."""

import os
import time

import pytest

from facts.audit import Denials
from node import denials
from tests.facts.conftest import FactNode

LINE = (
    'type=AVC msg=audit({time}:4769): apparmor="{verdict}" operation="open" class="file" '
    'profile="{profile}" name="{name}" pid={pid} comm="dd" requested_mask="r" fsuid=0 ouid=0'
    '\x1dFSUID="root"'
)


def line(at, verdict="DENIED", profile="lxc-a", name="/a", pid=7):
    return LINE.format(time=f"{at:.3f}", verdict=verdict, profile=profile, name=name, pid=pid)


class Node(FactNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.logs = self.root / "var/log/audit"
        self.logs.mkdir(parents=True)
        self.tool("systemctl", '[ "$*" = "-q is-active auditd" ] && [ -e "$FAKE/auditd" ]')
        self.tool("journalctl", 'echo "$*" >>"$FAKE/asked"; cat "$FAKE/kernel"')
        (self.fake / "auditd").touch()

    def log(self, *lines, name="audit.log", written=2_000_000_000):
        file = self.logs / name
        file.write_text("".join(f"{text}\n" for text in lines))
        os.utime(file, (written, written))

    def runs(self, ctid, started):
        """A container that runs since then."""
        self.has(f"/etc/pve/lxc/{ctid}.conf", "arch: amd64\n")
        self.has(f"/sys/fs/cgroup/lxc/{ctid}/ns/init.scope/cgroup.procs", f"{ctid}\n")
        self.has(f"/proc/{ctid}/status", f"NSpid:\t{ctid}\t1\n")
        self.has("/proc/stat", "btime 1795300000\n")
        ticks = (started - 1795300000) * 100
        fields = " ".join(["S", "1", *["0"] * 17, str(ticks), "0"])
        self.has(f"/proc/{ctid}/stat", f"{ctid} (init) {fields}\n")

    def ask(self, *since):
        return self.see(Denials, since)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def counts(seen):
    return sorted((one["name"], one.count, one.last) for one in seen.denials)


def test_equal_lines_of_different_processes_are_counted_and_the_last_time_told(node):
    node.log(line(1795304458.16, pid=1), line(1795304459.5, pid=2), line(1795304460, name="/b"))
    seen = node.ask(1795304458)
    assert (seen.source, seen.begins, seen.left) == ("audit.log", None, 0)
    assert counts(seen) == [("/a", 2, 1795304459.5), ("/b", 1, 1795304460.0)]
    assert "FSUID" not in seen.denials[0].fields


def test_folders_of_processes_are_not_told_apart(node):
    node.log(line(1795304458, name="/proc/17/mem"), line(1795304459, name="/proc/18/mem"))
    assert counts(node.ask(1795304458)) == [("/proc/*/mem", 2, 1795304459.0)]


def test_lines_before_and_after_a_start_are_counted_apart(node):
    node.log(line(1795304458), line(1795304461), line(1795304462))
    assert counts(node.ask(1795304450, 1795304460)) == [
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
    seen = node.ask(1795304458)
    assert counts(seen) == [("c", 1, 1795304458.0), ("d", 1, 1795304458.0)]
    assert [one.complain for one in sorted(seen.denials, key=lambda one: one["name"])] == [
        False,
        True,
    ]


def test_rotated_logs_are_read_as_far_back_as_needed(node):
    node.log(line(1795304300), name="audit.log.2", written=1795304310)
    node.log(line(1795304400), name="audit.log.1", written=1795304410)
    node.log(line(1795304500))
    seen = node.ask(1795304350)
    assert counts(seen) == [("/a", 2, 1795304500.0)]
    assert seen.begins is None
    # longer ago than the oldest of them
    assert node.ask(1795304200).begins == 1795304300


def test_without_auditd_the_kernels_own_log_is_read_even_if_an_old_audit_log_lies_there(node):
    node.log(line(1795304458, name="/old"))
    (node.fake / "auditd").unlink()
    kernel = line(1795304459).replace("type=AVC msg=audit(", "audit: type=1400 audit(")
    (node.fake / "kernel").write_text(f"{kernel}\nsomething else\n")
    seen = node.ask(1795304458, 1795304470)
    assert (seen.source, seen.begins) == ("kernel log", None)
    assert counts(seen) == [("/a", 1, 1795304459.0)]
    asked = (node.fake / "asked").read_text()
    assert asked == "-q -o cat _TRANSPORT=kernel --since @1795304458\n"


def test_a_time_ago_is_reckoned_by_the_nodes_own_clock(node):
    then = int(time.time()) - 7200
    node.log(line(then - 60), line(then + 60, name="/b"), written=time.time())
    assert counts(node.ask(-7200)) == [("/b", 1, then + 60.0)]


def test_unless_a_time_is_given_it_is_the_start_of_each_container_that_runs(node):
    node.runs(910, started=1795304000)
    node.runs(952, started=1795305000)
    node.has("/etc/pve/lxc/960.conf", "arch: amd64\n")
    node.log(line(1795303000), line(1795304500), line(1795305500))
    assert counts(node.see(Denials)) == [("/a", 1, 1795304500.0), ("/a", 1, 1795305500.0)]
    assert counts(node.see(Denials, None, (952,))) == [("/a", 1, 1795305500.0)]


def test_what_another_one_was_refused_before_a_container_was_started_is_counted_apart(node):
    node.runs(910, started=1795304000)
    node.runs(952, started=1795305000)
    node.log(line(1795304500), line(1795305500))
    apart = [("/a", 1, 1795304500.0), ("/a", 1, 1795305500.0)]
    # both may carry the profile, whoever is asked for and whatever time is given
    assert counts(node.see(Denials, None, (910,))) == apart
    assert counts(node.ask(1795304100)) == apart


def test_where_no_container_runs_nobody_looks(node):
    node.has("/etc/pve/lxc/960.conf", "arch: amd64\n")
    node.log(line(1795304458))
    assert node.see(Denials).source == ""
    assert node.see(Denials, None, (911,)).source == ""


def test_more_kinds_than_anybody_reads_are_only_counted(node):
    kinds = denials.MOST_KINDS + 2
    node.log(*(line(1795304458 + number, name=f"/{number % kinds}") for number in range(2 * kinds)))
    seen = node.ask(1795304458)
    assert [one.count for one in seen.denials] == [2] * denials.MOST_KINDS
    assert seen.left == 4


def test_a_line_that_no_kernel_wrote_costs_no_memory_and_counts_for_nothing(node):
    endless = line(1795304458, name="/" + "x" * 40_000)
    node.log(endless, endless + "y" * 16384 + line(1795304458, name="/forged"), line(1795304459))
    assert counts(node.ask(1795304458)) == [("/a", 1, 1795304459.0)]


def test_a_link_beside_the_logs_is_not_followed(node):
    node.log(line(1795304458, name="/b"), name="elsewhere")
    (node.logs / "elsewhere").rename(node.root / "elsewhere")
    (node.logs / "audit.log.1").symlink_to(node.root / "elsewhere")
    node.log(line(1795304459))
    assert counts(node.ask(1795304458)) == [("/a", 1, 1795304459.0)]


def test_a_node_without_any_log_says_only_where_it_looked(node):
    (node.fake / "kernel").touch()
    seen = node.ask(1795304458)
    assert (seen.source, seen.denials) == ("kernel log", ())
