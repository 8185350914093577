"""node/denials.py against a tree of files that looks like a node, with a fake journal."""

import gzip
import json
import os
import time
from dataclasses import astuple
from datetime import UTC, datetime

import pytest

from facts.audit import Denials
from node import tally
from phoenix.apparmor.denials import Owner
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
    asked = (node.fake / "asked").read_text().splitlines()
    assert asked[-1] == "-q -o cat _TRANSPORT=kernel --since @1795304458"


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


def packed(node, name, *lines, written, cut=0):
    """A log that logrotate has compressed."""
    data = gzip.compress("".join(f"{text}\n" for text in lines).encode())
    (node.logs / name).write_bytes(data[: len(data) - cut])
    os.utime(node.logs / name, (written, written))


def test_logs_that_logrotate_has_compressed_are_read_too(node):
    packed(node, "audit.log.2.gz", line(1795304300), written=1795304310)
    packed(node, "audit.log-20261122.gz", line(1795304200), written=1795304210)
    node.log(line(1795304400), name="audit.log.1", written=1795304410)
    node.log(line(1795304500))
    seen = node.ask(1795304250)
    assert (counts(seen), seen.begins) == ([("/a", 3, 1795304500.0)], None)
    assert node.ask(1795304100).begins == 1795304200
    assert counts(node.ask(1795304100)) == [("/a", 4, 1795304500.0)]


def test_one_that_is_being_compressed_counts_once(node):
    packed(node, "audit.log.1.gz", line(1795304400), written=1795304410, cut=8)
    node.log(line(1795304400), name="audit.log.1", written=1795304410)
    node.log(line(1795304500))
    seen = node.ask(1795304300)
    assert (counts(seen), seen.missing) == ([("/a", 2, 1795304500.0)], "")


def test_what_is_compressed_otherwise_or_damaged_is_named(node):
    node.log(line(1795304300), name="audit.log.2.xz", written=1795304310)
    packed(
        node, "audit.log.1.gz", *map(line, range(1795304400, 1795304500)), written=1795304501, cut=9
    )
    node.log(line(1795304600))
    seen = node.ask(1795304250)
    assert seen.missing == "audit.log.2.xz is not read: only .gz is; audit.log.1.gz is damaged"
    assert seen.denials[0].last == 1795304600
    # nothing of it is asked for
    assert node.ask(1795304550).missing == ""


def test_a_log_is_where_auditd_is_told_to_write_it(node):
    node.has("/etc/audit/auditd.conf", "# a comment\nlog_file = /srv/audit/all.log\n")
    node.has("/srv/audit/all.log", f"{line(1795304458)}\n")
    assert counts(node.ask(1795304400)) == [("/a", 1, 1795304458.0)]
    node.has("/etc/audit/auditd.conf", "log_file = /srv/audit/all.log\nwrite_logs = no\n")
    (node.fake / "kernel").touch()
    assert node.ask(1795304400).source == "kernel log"


def test_each_log_says_what_it_may_lack(node):
    node.log(line(1795304458))
    node.tool("auditctl", 'printf "enabled 1\\nlost 17\\nbacklog 0\\n"')
    assert node.ask(1795304400).missing == "since the node was booted 17 lines of audit were lost"
    node.tool("auditctl", 'printf "enabled 1\\nlost 0\\n"')
    assert node.ask(1795304400).missing == ""
    (node.fake / "auditd").unlink()
    (node.fake / "kernel").touch()
    assert "apt install auditd" in node.ask(1795304400).missing


def daemon(word, at):
    return f"type=DAEMON_{word} msg=audit({at:.3f}:17): op={word.lower()} ver=4.0.2 res=success"


def test_when_auditd_was_stopped_is_told_as_what_may_be_missing(node):
    booted = int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
    times = [booted + n for n in (10, 100, 105, 200, 300, 400)]
    words = ("START", "END", "START", "END", "START")
    said = [daemon(word, at) for word, at in zip(words, times, strict=False)]
    # before the node was booted it may have been off; a restart is none
    node.log(daemon("END", booted - 600), *said, line(times[-1]), written=time.time())
    missing = node.ask(booted - 900).missing
    start, end = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%SZ}" for at in times[3:5])
    assert missing == f"auditd was stopped from {start} to {end}: what came then may be missing"
    # it was before that
    assert node.ask(booted + 350).missing == ""
    # whatever a damaged log says
    node.log(daemon("END", 999999999900), daemon("START", 999999999999.5), written=time.time())
    assert node.ask(booted + 350).missing.startswith("auditd was stopped from 9999-12-31")


def test_where_journald_listens_to_the_kernels_audit_its_journal_is_read(node):
    (node.fake / "auditd").unlink()
    node.tool("systemctl", '[ "$*" = "-q is-active systemd-journald-audit.socket" ]')
    said = line(1795304459.5).partition(": ")[2].partition("\x1d")[0]
    entry = {
        "_AUDIT_TYPE": "1400",
        "_AUDIT_ID": "4769",
        "_SOURCE_REALTIME_TIMESTAMP": "1795304459500000",
        "MESSAGE": f"AVC {said}",
    }
    odd = [{**entry, "MESSAGE": [1, 2]}, {**entry, "_AUDIT_ID": "x"}, ["apparmor="], {}]
    (node.fake / "kernel").write_text("".join(f"{json.dumps(one)}\n" for one in [entry, *odd]))
    seen = node.ask(1795304458)
    assert (seen.source, counts(seen)) == ("journal", [("/a", 1, 1795304459.5)])
    assert "apt install auditd" in seen.missing
    asked = (node.fake / "asked").read_text().splitlines()[-1]
    assert asked.startswith("-q -o json _TRANSPORT=audit --since @1795304458 --output-fields=MESS")


def test_when_each_kind_came_is_told_in_buckets(node):
    began = int(time.time()) - 7200
    node.log(line(began + 10), line(began + 5000), written=time.time())
    seen = node.ask(began)
    (one,) = seen.denials
    assert (one.first, one.last) == (began + 10, began + 5000)
    assert seen.begin <= began < seen.begin + seen.width
    where = [seen.begin + bucket * seen.width for bucket, _ in one.spread]
    assert all(
        at < one < at + seen.width for at, one in zip(where, (one.first, one.last), strict=True)
    )
    assert [times for _, times in one.spread] == [1, 1]


def test_a_process_that_lives_tells_whose_it_is(node):
    now = time.time()
    boot = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = int((now - 60 - boot) * 100)
    node.has("/proc/7/stat", f"7 (a) {' '.join(['S', '1', *['0'] * 17, str(ticks)])}\n")
    node.has("/proc/7/cgroup", f"0::/lxc/910/ns/system.slice/docker-{'e3' * 32}.scope\n")
    node.log(line(now - 30), line(now - 90, name="/b"), written=now)
    before, after = node.ask(int(now) - 100).denials
    assert (after.pid, after.owner) == (7, Owner(910, "e3" * 32))
    # it has only got the number of that one
    assert (before.pid, before.owner) == (7, None)


def test_more_kinds_than_anybody_reads_are_only_counted(node):
    kinds = tally.MOST_KINDS + 2
    node.log(*(line(1795304458 + number, name=f"/{number % kinds}") for number in range(2 * kinds)))
    seen = node.ask(1795304458)
    assert len(seen.denials) == tally.MOST_KINDS
    assert seen.denials[-1].last == 1795304458 + 2 * kinds - 1
    assert sum(one.count for one in seen.denials) + seen.left == 2 * kinds
    ((profile, lines, first, _),) = map(astuple, seen.floods)
    assert (profile, lines, first) == ("lxc-a", seen.left, 1795304458.0)


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
