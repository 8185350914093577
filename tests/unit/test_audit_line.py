"""Audit lines as the node counts them and as both sides read them."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.pack import SHARED
from phoenix.apparmor.audit_line import LONGEST, Counted, count, read_fields, refusal

LINE = (
    'type=AVC msg=audit({time}:4769): apparmor="{verdict}" operation="open" class="file" '
    'profile="{profile}" name="{name}" pid={pid} comm="dd" requested_mask="r" fsuid=0 ouid=0'
    '\x1dFSUID="root"'
)


def line(time, verdict="DENIED", profile="lxc-a", name="/a", pid=7):
    return LINE.format(time=f"{time:.3f}", verdict=verdict, profile=profile, name=name, pid=pid)


def names(counted):
    return [(read_fields(text)["name"], times, last) for times, last, text in counted.denials]


def test_equal_lines_of_different_processes_are_one_with_the_last_time():
    found = count([line(17, pid=1), line(18.5, pid=2), line(19, name="/b")], [17], 500)
    assert names(found) == [("/a", 2, 18.5), ("/b", 1, 19.0)]
    assert "pid=" not in found.denials[0][2]
    assert "FSUID" not in found.denials[0][2]


def test_folders_of_processes_are_not_told_apart():
    found = count([line(17, name="/proc/17/mem"), line(18, name="/proc/18/mem")], [17], 500)
    assert names(found) == [("/proc/*/mem", 2, 18.0)]


def test_lines_before_and_after_a_start_are_counted_apart():
    found = count([line(9), line(10), line(15), line(20), line(21)], [10, 20], 500)
    assert names(found) == [("/a", 2, 15.0), ("/a", 2, 21.0)]


def test_more_kinds_than_anybody_reads_are_only_counted():
    found = count([line(10 + n, name=f"/{n % 4}") for n in range(8)], [10], 2)
    assert (len(found.denials), found.left) == (2, 4)
    assert count([line(10)], [], 500) == Counted()


def test_what_rules_log_takes_no_room_of_refusals():
    logged = [line(10 + n, "AUDIT", name=f"/etc/{n}") for n in range(4)]
    other = line(15, "AUDIT", name="/root/x")
    found = count([*logged, other, line(20), line(21, name="/b")], [10], 20)
    assert [(name, times) for name, times, _ in names(found)] == [
        *(("/etc/0", 1), ("/etc/1", 1), ("/etc/*", 2), ("/root/*", 1), ("/a", 1), ("/b", 1))
    ]
    assert found.left == 0


def test_of_more_folders_than_anybody_reads_the_rest_is_only_counted():
    found = count([line(10 + n, "AUDIT", name=f"/{n}/a") for n in range(8)], [10], 20)
    assert (len(found.denials), found.left) == (4, 4)


def test_what_the_policy_of_a_guest_logs_is_its_own_affair():
    namespace = 'profile="docker-default" namespace="root//lxc-910_<-var-lib-lxc>"'
    text = line(17, "AUDIT").replace('profile="lxc-a"', namespace)
    assert refusal(text) is None
    assert refusal(text.replace("AUDIT", "DENIED")) is not None
    # a namespace below its own whose name holds a blank is written in hex
    hidden = line(17, "AUDIT").replace(
        'profile="lxc-a"', 'profile="lxc-a" namespace=726F6F742F2F61'
    )
    assert refusal(hidden) is None


@pytest.mark.parametrize(
    "text",
    [
        line(17, "STATUS"),
        line(17, profile="usr.bin.man"),
        line(17, profile="lxd-a"),
        "noise",
        'audit(17.000:1): apparmor="DENIED" profile="lxc-a"',
        # what a program may write into the log by itself
        'type=USER_AVC msg=audit(17.000:1): pid=7 uid=0 msg=\'apparmor="DENIED" profile="lxc-a"\'',
        "type=USER msg=audit(17.000:1): pid=7 msg='" + line(17) + "'",
        line(17) + "x" * LONGEST,
    ],
)
def test_what_the_kernel_did_not_refuse_to_a_container_is_none(text):
    assert refusal(text) is None


@pytest.mark.parametrize(
    "text",
    [
        line(17),
        line(17, "ALLOWED"),
        line(17, "AUDIT"),
        line(17, profile="/usr/bin/lxc-start"),
        "node=pve1 " + line(17),
        line(17).replace("type=AVC msg=", "audit: type=1400 "),
        'type=AVC msg=audit(17.000:1): apparmor="DENIED" operation="change_profile" '
        'namespace="root//lxc-910_<-var-lib-lxc>" profile="unconfined" name="c"',
    ],
)
def test_what_it_refused_to_one_is_found_in_every_log(text):
    assert refusal(text)[0] == 17.0


def test_the_modules_that_are_packed_for_nodes_run_under_python_3_9():
    old = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
    modules = (name.replace("/", ".") for name in SHARED if not name.endswith("__init__"))
    code = f"import {', '.join(f'phoenix.{module}' for module in modules)}"
    done = subprocess.run(
        [*map(str, old[:1]), "-c", code] if old else [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
