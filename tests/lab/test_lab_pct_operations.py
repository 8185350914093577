"""Container operations on the lab's node: real locks, a real restart, `pct` beside them."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from facts.pct import Containers

pytestmark = pytest.mark.lab

CHECKOUT = Path(__file__).parents[2]
LOCK = "/run/lock/lxc/pve-config-960.lock"

ODD = b"""\
#build machine
#caf\xff\xe9 %23 [snap1]
arch: amd64\r
cores: 1
cores: 2
features: fuse=1
hostname: build-spare
features: nesting=1\r
memory: 384
nodename=oops
 lxc.cap.drop:
lxc.nosuchkey: 1
net0: name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:00:09:60,ip=10.10.10.160/24,type=veth
ostype: debian
rootfs: local:960/vm-960-disk-0.raw,size=4G
swap: 0
unprivileged: 1
lxc.mount.entry = /dev/null dev/lab-a none bind,optional,create=file 0 0
lxc.apparmor.profile=unconfined
lxc.mount.entry: /dev/null dev/lab-b none bind,optional,create=file 0 0
lxc.cgroup2.devices.allow = a

[pve:pending]
memory: 256

[before]
#the first
arch: amd64
features: nesting=1
lxc.apparmor.profile: unconfined
lxc.cgroup2.devices.allow: a

[after]
arch: amd64
features: nesting=1\r
lxc.mount.entry: /dev/null dev/lab-a none bind 0 0"""

CHANGES = """\
5a6
> dev0: /dev/fuse,mode=0666
8c9
< features: nesting=1\r
---
> features: nesting=1,keyctl=1\r
12a14
> mp0: /srv/data,mp=/data
19c21
< lxc.apparmor.profile=unconfined
---
> lxc.apparmor.profile: lxc-container-default-with-nesting
21d22
< lxc.cgroup2.devices.allow = a
"""


def edit(ctid, *flags):
    """Run the user's deploy on the lab: what pyinfra says of each operation, in order."""
    with start(ctid, *flags) as process:
        return finish(process)


def start(ctid, *flags):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pyinfra", "-v", "-y", *flags),
            *("inventory.py", "tests/deploys/edit_container.py", f"--data=ctid={ctid}"),
        ],
        cwd=CHECKOUT,
        env={**os.environ, "PYINFRA_PROGRESS": "off", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return re.findall(r"\] (Success|No changes|Error)", said)


def write(node, ctid, conf):
    node.ssh(f"base64 -d >/etc/pve/lxc/{ctid}.conf", input=base64.b64encode(conf))


def read(node, ctid):
    return base64.b64decode(node.ssh(f"base64 /etc/pve/lxc/{ctid}.conf").stdout)


@pytest.fixture
def node(clean_lab):
    clean_lab.ssh("mkdir -p /srv/data && echo precious >/srv/data/file")
    return clean_lab


@pytest.fixture
def odd(node):
    """Container 960, stopped, with a conf that has seen better days."""
    write(node, 960, ODD)
    node.ssh("cp /etc/pve/lxc/960.conf /root/before")
    return node


def test_exactly_the_intended_lines_change_and_a_second_run_changes_nothing(odd):
    assert edit(960) == [*["Success"] * 4, "No changes"]
    found = odd.ssh("diff -a /root/before /etc/pve/lxc/960.conf", check=False).stdout
    print(found)
    assert found == CHANGES

    facts = "stat -c '%i %Y %U:%G %a' /etc/pve/lxc/960.conf; ls /etc/pve/lxc"
    before = odd.ssh(facts).stdout
    assert "root:www-data 640" in before
    assert ".tmp." not in before
    assert edit(960) == ["No changes"] * 5
    assert odd.ssh(facts).stdout == before


def test_pct_reads_the_edited_conf_as_it_was_meant_and_keeps_it(odd):
    edit(960)
    config = odd.ssh("pct config 960 --current").stdout.splitlines()
    assert {
        "dev0: /dev/fuse,mode=0666",
        "features: nesting=1,keyctl=1",
        "mp0: /srv/data,mp=/data",
        "cores: 2",
        "memory: 384",
        "lxc.apparmor.profile: lxc-container-default-with-nesting",
        "lxc.mount.entry: /dev/null dev/lab-a none bind,optional,create=file 0 0",
        "lxc.mount.entry: /dev/null dev/lab-b none bind,optional,create=file 0 0",
    } <= set(config)
    assert not [line for line in config if "devices.allow" in line]
    assert odd.ssh("pct listsnapshot 960").stdout.count("before") == 1
    # pct rewrites and sorts the whole file: what we edited is still right after that
    odd.ssh("pct set 960 --tags lab")
    assert edit(960) == ["No changes"] * 5


def test_the_container_starts_with_what_was_edited(odd):
    edit(960)
    odd.ssh("pct start 960")
    assert odd.label(960) == "lxc-container-default-with-nesting (enforce)"
    assert odd.ssh("lxc-attach -n 960 -- cat /data/file").stdout == "precious\n"
    assert odd.ssh("lxc-attach -n 960 -- test -c /dev/fuse").returncode == 0


def test_a_running_container_is_restarted_once_and_only_if_something_changed(node):
    pid = "lxc-info -n 953 -pH"
    before = node.ssh(pid).stdout
    assert edit(953) == ["Success"] * 5
    after = node.ssh(pid).stdout
    assert after != before
    assert node.label(953) == "lxc-container-default-with-nesting (enforce)"
    assert node.ssh("lxc-attach -n 953 -- cat /data/file").stdout == "precious\n"

    assert edit(953) == ["No changes"] * 5
    assert node.ssh(pid).stdout == after


def test_a_pct_set_between_our_read_and_our_write_survives_and_so_do_we(odd):
    # our write is kept from the lock that somebody holds, and asleep when that one lets go
    odd.ssh(f"touch /run/hold; flock -o {LOCK} sh -c '{WHILE_HELD}' >/dev/null 2>&1 &")
    process = start(960, "--retry", "3", "--retry-delay", "0")
    pid = odd.ssh(WAIT_FOR_OUR_WRITE).stdout.strip()
    odd.ssh(f"kill -STOP {pid}; rm /run/hold; pct set 960 --hostname renamed")
    odd.ssh(f"kill -CONT {pid}")
    with process:
        _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "CT 960: somebody changed /etc/pve/lxc/960.conf since it was read" in said
    config = odd.ssh("pct config 960").stdout
    assert "hostname: renamed\n" in config
    assert "features: nesting=1,keyctl=1\n" in config
    assert "lxc.apparmor.profile: lxc-container-default-with-nesting\n" in config


WHILE_HELD = "while [ -e /run/hold ]; do sleep 0.1; done"
# ours has the lock's file open, and waits; it tells its process id
WAIT_FOR_OUR_WRITE = """
    while :; do
        for pid in $(pgrep -f 'write-conf [9]60'); do
            ! ls -l /proc/$pid/fd 2>/dev/null | grep -q pve-config-960 || { echo $pid; exit; }
        done
        sleep 0.1
    done
"""


def test_neither_side_loses_anything_when_both_write_all_the_time(odd):
    rounds = "for n in 1 2 3 4 5 6; do pct set 960 --cpuunits 10$n --tags t$n || exit; done"
    odd.ssh(f"{{ {rounds}; echo $? >/root/code; }} >/root/said 2>&1 </dev/null &")
    edit(960, "--retry", "20", "--retry-delay", "0")
    odd.ssh("until [ -e /root/code ]; do sleep 0.2; done")
    assert odd.ssh("cat /root/code /root/said").stdout.startswith("0\n")
    config = odd.ssh("pct config 960").stdout
    for line in ("cpuunits: 106", "tags: t6", "features: nesting=1,keyctl=1", "dev0: /dev/fuse"):
        assert line in config


def test_the_fact_starts_no_process_per_container_with_200_confs(node):
    there = len(node.ssh("ls /etc/pve/lxc/*.conf").stdout.split())
    for part in ("", "[snap]\\n"):
        node.ssh(
            "for n in $(seq 2000 2193); do"
            f" {{ printf '{part}'; cat /etc/pve/lxc/910.conf; }} >>/etc/pve/lxc/$n.conf; done"
        )
    command = shlex.quote(Containers().command().get_raw_value())
    forks = "sed -n 's/^processes //p' /proc/stat"
    said = node.ssh(f"{forks}; sh -c {command}; {forks}")
    first, answer, last = said.stdout.splitlines()
    found = json.loads(answer)["containers"]["containers"].values()
    assert len(found) == there + 194
    assert len([one for one in found if one["live"]]) == 5
    # the whole node forks now and then; 200 containers would be more
    assert int(last) - int(first) < 100
