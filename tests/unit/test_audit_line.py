"""Audit lines as the node counts them and as both sides read them."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.pack import SHARED
from phoenix.apparmor.audit_line import LONGEST, read_fields, refusal

LINE = (
    'type=AVC msg=audit({time}:4769): apparmor="{verdict}" operation="open" class="file" '
    'profile="{profile}" name="{name}" pid={pid} comm="dd" requested_mask="r" fsuid=0 ouid=0'
    '\x1dFSUID="root"'
)

SAID = (
    'apparmor="{verdict}" operation="dbus_method_call"  bus="system" '
    'path="/org/freedesktop/systemd1" interface="org.freedesktop.systemd1.Manager" '
    'member="StartUnit" mask="send" name="org.freedesktop.systemd1" pid={pid} label="{label}" '
    'peer_pid=1 peer_label="unconfined"'
)
TAIL = 'exe="/usr/bin/dbus-daemon" sauid=101 hostname=? addr=? terminal=?'
SENT_BY = "pid=829 uid=101 auid=4294967295 ses=4294967295 subj=unconfined"


def bus(time=17, verdict="DENIED", label="lxc-a", pid=7, by=SENT_BY, tail=f" {TAIL}'"):
    """A refusal of the message bus as auditd writes it."""
    said = SAID.format(verdict=verdict, label=label, pid=pid)
    return f"type=USER_AVC msg=audit({time:.3f}:157): {by} msg='{said} {tail}"


def of_kernel(text):
    """The same line in the kernel's own log."""
    text = text.replace("type=USER_AVC msg=", "audit: type=1107 ")
    return text.replace("type=AVC msg=", "audit: type=1400 ")


def line(time, verdict="DENIED", profile="lxc-a", name="/a", pid=7):
    return LINE.format(time=f"{time:.3f}", verdict=verdict, profile=profile, name=name, pid=pid)


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
        bus(label="snap.firefox.firefox"),
        bus(verdict="STATUS"),
        bus().replace('"dbus_method_call"', '"open"'),
        bus().replace("USER_AVC", "USER"),
        # a bus in a container says what it likes
        bus(by="pid=7 uid=0 subj=lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined"),
        bus(by="pid=7 uid=0 subj==lxc-a"),
        "type=USER_AVC msg=audit(17.000:1): pid=7 msg='op=\"" + bus() + "'",
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
        of_kernel(line(17)),
        line(17, "KILLED"),
        line(17).replace("profile=", "label="),
        line(17, profile="lxc-a//&:lxc-910_<-var-lib-lxc>:b").replace("profile=", "label="),
        bus(),
        bus(verdict="ALLOWED"),
        bus(label="lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined"),
        bus(by="pid=829 uid=101"),
        bus(by=SENT_BY.replace("subj=", "subj==")),
        # dbus before 1.12
        bus().replace("label=", "profile="),
        bus(tail=f' {TAIL}\'\x1dUID="messagebus" SAUID="messagebus"'),
        "node=pve1 " + bus(),
        of_kernel(bus()),
        # the kernel's log breaks it in front of exe=
        of_kernel(bus(tail="")),
        of_kernel(bus()).removeprefix("audit: "),
        'type=AVC msg=audit(17.000:1): apparmor="DENIED" operation="change_profile" '
        'namespace="root//lxc-910_<-var-lib-lxc>" profile="unconfined" name="c"',
    ],
)
def test_what_it_refused_to_one_is_found_in_every_log(text):
    assert refusal(text)[0] == 17.0


def test_a_refusal_of_the_message_bus_is_the_same_text_in_every_log():
    expected = (
        'apparmor="DENIED" operation="dbus_method_call" bus="system" '
        'path="/org/freedesktop/systemd1" interface="org.freedesktop.systemd1.Manager" '
        'member="StartUnit" mask="send" name="org.freedesktop.systemd1" profile="lxc-a" '
        'peer="unconfined"'
    )
    lines = [bus(), of_kernel(bus(pid=8)), of_kernel(bus(tail="")), bus(tail="'"), bus(tail="\n")]
    lines.append(bus().replace("label=", "profile="))
    assert {refusal(text)[1] for text in lines} == {expected}


def test_the_fields_of_such_a_line_are_those_that_the_bus_says():
    fields = read_fields(bus(pid=7))
    assert (fields["operation"], fields["pid"], fields["profile"], fields["peer"]) == (
        *("dbus_method_call", "7", "lxc-a", "unconfined"),
    )
    assert not {"msg", "uid", "exe", "sauid", "label"} & {*fields}
    assert read_fields(f"Nov 22 00:27:42 pve1 kernel: {of_kernel(bus())}") == fields


def test_of_a_stack_of_profiles_the_first_one_is_the_profile_and_the_label_is_kept():
    stack = "lxc-a-ns//&:lxc-910_<-var-lib-lxc>:docker-default"
    of_bus, of_file = bus(label=stack), line(17, profile=stack).replace("profile=", "label=")
    for text in (of_bus, of_file, refusal(of_bus)[1], refusal(of_file)[1]):
        fields = read_fields(text)
        assert (fields["profile"], fields["label"]) == ("lxc-a-ns", stack)


def test_an_endless_line_of_somebody_costs_no_time():
    begin = "type=USER_AVC msg=audit(17.000:1): "
    for text in (begin + "a " * 8000, begin + "a" * 16000, "type=1107 " * 1600):
        assert refusal(text + 'apparmor="') is None
        assert read_fields(text) == {}


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
