"""Which rules are proposed: a closed list of what does little harm."""

import re
from pathlib import Path

import pytest

from phoenix.apparmor.advice import verdict
from phoenix.apparmor.audit_line import read_fields

BASE = (Path(__file__).parents[2] / "templates/apparmor/base.j2").read_text()
FILE = (
    'apparmor="DENIED" operation="open" class="file" profile="lxc-a" name="{}" comm="dd" '
    'requested_mask="{}" fsuid=100000 ouid=0'
)
CAP = 'apparmor="DENIED" operation="capable" class="cap" profile="lxc-a" capname="{}"'
NET = (
    'apparmor="DENIED" operation="create" class="net" profile="lxc-a" family="{}" sock_type="{}" '
    'requested_mask="create"'
)
MOUNT = 'apparmor="DENIED" operation="mount" class="mount" profile="lxc-a" name="{}" {}'


def judge(line):
    return verdict(read_fields(line))


@pytest.mark.parametrize(
    ("path", "mask", "rule"),
    [
        ("/srv/a", "r", "/srv/a r,"),
        ("/etc/shadow", "wcd", "/etc/shadow w,"),
        ("/var/lib/docker/volumes/x/_data/y", "rwk", "/var/lib/docker/volumes/x/_data/y rwk,"),
    ],
)
def test_an_ordinary_file_gets_a_rule(path, mask, rule):
    assert judge(FILE.format(path, mask)) == ("rule", rule)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sysrq-trigger",
        "/var/lib/docker/overlay2/x/merged/proc/sysrq-trigger",
        "/proc/kcore",
        "/proc/sys/kernel/core_pattern",
        "/tmp/a/proc/sys/kernel/modprobe",
        "/sys/kernel/debug/tracing/trace",
        "/mnt/sys/fs/cgroup/release_agent",
        "/dev/sda",
        "/dev/.lxc/proc/version",
        "/boot/vmlinuz",
        "/lib/modules/6.12/a.ko",
        "/usr/lib/firmware/x",
        "/run/systemd/namespace-Xy/sysrq-trigger",
    ],
)
@pytest.mark.parametrize("mask", ["r", "w"])
def test_what_is_the_kernels_is_denied_on_purpose(path, mask):
    assert judge(FILE.format(path, mask)) == ("purpose", "")


@pytest.mark.parametrize(
    "path", ["/tmp/pp/sysrq-trigger", "/tmp/pp/kcore", "/tmp/x/release_agent", "/a/core_pattern"]
)
def test_a_file_that_is_called_like_one_of_the_kernels_gets_no_rule(path):
    assert judge(FILE.format(path, "w")) == ("unknown", "")


def test_every_file_that_base_denies_is_denied_on_purpose():
    denied = re.findall(r"audit deny (\S+) [a-z]+,", BASE)
    assert len(denied) > 12
    for pattern in denied:
        # in /tmp a file may be called like one of the kernel's: it gets no rule either
        wanted = ("unknown", "") if pattern.startswith("@{moved}/{") else ("purpose", "")
        path = pattern.replace("@{any_proc}", "/proc").replace("@{any_sys}", "/sys")
        path = path.replace("@{moved}", "/tmp").replace("@{unit_root}", "/run/systemd/unit-root")
        path = re.sub(r"\{([^,{}]*),[^{}]*\}", r"\1", path).replace("**", "x")
        path = re.sub(r"\[\^[a-z]+\]", "z", path)
        assert judge(FILE.format(path, "w")) == wanted, (pattern, path)


def test_no_capability_that_base_leaves_out_is_proposed():
    line = re.search(r"Left out on purpose: (.*\n.*)", BASE)[1]
    left_out = re.findall(r"[a-z]+_[a-z_]+|syslog|bpf|perfmon", line)
    assert {"sys_module", "mac_override", "bpf", "sys_time", "audit_read"} <= set(left_out)
    for name in (*left_out, "mac_admin", "sys_boot", "sys_admin", "checkpoint_restore", "new_one"):
        assert judge(CAP.format(name)) == ("purpose", ""), name


def test_an_ordinary_capability_gets_a_rule():
    assert judge(CAP.format("net_bind_service")) == ("rule", "capability net_bind_service,")


@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [
        ("inet", "stream", ("rule", "network inet stream,")),
        ("inet6", "dgram", ("rule", "network inet6 dgram,")),
        ("unix", "seqpacket", ("rule", "network unix seqpacket,")),
        ("netlink", "raw", ("rule", "network netlink raw,")),
        ("alg", "seqpacket", ("purpose", "")),
        ("vsock", "stream", ("purpose", "")),
        ("packet", "raw", ("purpose", "")),
        ("bluetooth", "raw", ("purpose", "")),
        ("inet", "packet", ("own", "")),
    ],
)
def test_of_sockets_only_the_ordinary_families_are_proposed(family, kind, expected):
    assert judge(NET.format(family, kind)) == expected


@pytest.mark.parametrize(
    ("target", "rest", "expected"),
    [
        ("/tmp/pp/", 'fstype="proc" srcname="proc" flags="rw"', "purpose"),
        ("/tmp/pp/", 'fstype="sysfs" srcname="sysfs"', "purpose"),
        ("/tmp/pp/", 'fstype="debugfs" srcname="x"', "purpose"),
        ("/tmp/pp/", 'fstype="securityfs" srcname="x"', "purpose"),
        ("/mnt/p/", 'srcname="/proc/sys/" flags="rw, bind"', "purpose"),
        ("/proc/", 'srcname="/srv/" flags="rw, bind"', "purpose"),
        ("/mnt/", 'srcname="/" flags="rw, rbind"', "purpose"),
        # the new mount API tells neither type nor source
        ("/tmp/pp/", 'flags="rw, move"', "purpose"),
        ("/mnt/p/", 'srcname="/srv/p/" flags="rw, bind"', "own"),
        ("/mnt/p/", 'fstype="nfs4" srcname="nas:/p"', "own"),
    ],
)
def test_a_mount_gets_no_rule_and_one_of_the_kernels_is_denied_on_purpose(target, rest, expected):
    assert judge(MOUNT.format(target, rest)) == (expected, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('operation="userns_create" class="namespace"', "purpose"),
        ('operation="signal" class="signal" requested_mask="send" peer="unconfined"', "purpose"),
        ('operation="signal" class="signal" requested_mask="receive" peer="lxc-attach"', "own"),
        ('operation="ptrace" class="ptrace" requested_mask="trace" peer="lxc-b"', "purpose"),
        ('operation="ptrace" class="ptrace" requested_mask="trace" peer="lxc-a"', "own"),
        ('operation="override_creds" class="io_uring" requested="override_creds"', "purpose"),
        ('operation="something_new" class="of_tomorrow"', "unknown"),
        ('operation="capable"', "purpose"),
    ],
)
def test_what_is_no_file_is_judged_by_its_kind(line, expected):
    assert judge(f'apparmor="DENIED" profile="lxc-a" {line}') == (expected, "")


@pytest.mark.parametrize(
    "odd", ["/srv/[a]", "/srv/a{b,c}", "/srv/a,", "/srv/@{x}", "/srv/a#b", "srv/a", "/srv/1234567"]
)
def test_a_path_that_could_mean_something_else_in_a_rule_gets_none(odd):
    assert judge(FILE.format(odd, "r"))[1] == ""


@pytest.mark.parametrize(
    "path",
    [
        "/power/state",
        "/bus/pci/rescan",
        "/kernel/security/apparmor/.replace",
        "/mtrr",
        "/irq/1/smp_affinity",
        "/1/root/etc/shadow",
        "/self/../1/mem",
        "/debug/x",
        "/tracing/trace",
        "/devices/pci0000:00/remove",
    ],
)
def test_the_kernels_own_files_without_the_place_where_they_are_mounted_get_no_rule(path):
    assert judge(FILE.format(path, "w")) == ("purpose", "")


@pytest.mark.parametrize(
    "path",
    ["/tmp/pp/power/state", "/tmp/pp/kernel/x", "/mnt/1/root/etc/shadow", "/a/security/b/.replace"],
)
def test_what_may_lie_in_one_of_the_kernels_under_another_name_gets_no_rule(path):
    assert judge(FILE.format(path, "w")) == ("unknown", "")


@pytest.mark.parametrize("path", ["/srv/2024/a", "/srv/kernels/a", "/data/1/rooted", "/powers/a"])
def test_a_name_that_only_begins_so_is_an_ordinary_file(path):
    assert judge(FILE.format(path, "w")) == ("rule", f"{path} w,")


def test_a_path_that_fills_the_screen_gets_no_rule():
    path = f"/srv/{'x' * 295}"
    assert judge(FILE.format(path, "r")) == ("rule", f"{path} r,")
    assert judge(FILE.format(f"{path}x", "r")) == ("own", "")
