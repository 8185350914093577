"""devN as Proxmox makes it, and what does not go together with it."""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, conf, hello, pyinfra, state

pytestmark = pytest.mark.lab

FUSE = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}


def add(node, ctid, *lines):
    """Put lines at the end of the main section of a conf that has no other."""
    node.ssh(f"cat >>/etc/pve/lxc/{ctid}.conf", input="".join(f"{line}\n" for line in lines))


@pytest.fixture
def fleet(tmp_path):
    file = tmp_path / "fleet.json"
    file.write_text(json.dumps({"lxc_configs": {"960": FUSE}}))
    return file


def test_a_device_has_the_owner_and_mode_of_its_line(clean_lab):
    add(clean_lab, 960, "dev0: /dev/fuse", "dev1: /dev/net/tun,uid=1000,gid=44,mode=0666")
    clean_lab.ssh("pct start 960")
    seen = "lxc-attach -n 960 -- stat -c '%n %F %u:%g %a' /dev/fuse /dev/net/tun"
    assert clean_lab.ssh(seen).stdout.splitlines() == [
        "/dev/fuse character special file 0:0 660",
        "/dev/net/tun character special file 1000:44 666",
    ]
    clean_lab.ssh("lxc-attach -n 960 -- sh -c 'exec 3<>/dev/fuse'")


@pytest.mark.parametrize(
    "lines",
    [
        ["dev0: /dev/fuse", "features: nesting=1,fuse=1"],
        ["dev0: /dev/net/tun", "lxc.mount.entry: /dev/net dev/net none bind,create=dir 0 0"],
        ["dev0: /dev/fuse", "lxc.mount.entry: /x dev/fuse none bind,optional,create=file 0 0"],
        ["dev0: /dev/fuse", "dev1: /dev//fuse"],
    ],
)
def test_what_the_plan_takes_for_a_collision_does_not_start(clean_lab, fleet, lines):
    add(clean_lab, 960, *lines)
    done = clean_lab.ssh("pct start 960", check=False)
    assert done.returncode == 255
    assert "Script exited with status 17" in done.stdout
    audit = pyinfra("audit", "-y", fleet=fleet, only=960, strict="true")
    assert audit.returncode == 1
    assert "make the same node: it does not start like that" in audit.stderr


@pytest.mark.parametrize(
    "lines",
    [
        ["dev0: /dev/fuse", "lxc.mount.entry: /dev/fuse /dev/fuse none bind,create=file 0 0"],
        ["dev0: /dev/net/tun", "lxc.mount.entry: /dev/net dev/net none bind,optional 0 0"],
        ["features: fuse=1", "lxc.mount.entry: /dev/fuse dev/fuse none bind,create=file 0 0"],
    ],
)
def test_what_the_plan_takes_for_no_collision_starts(clean_lab, lines):
    add(clean_lab, 960, *lines)
    clean_lab.ssh("pct start 960")


@pytest.mark.long
def test_harden_of_a_stopped_container_leaves_the_feature_to_the_device(clean_lab, fleet):
    add(clean_lab, 960, "dev0: /dev/fuse")
    done = pyinfra("harden", "-y", fleet=fleet, only=960)
    assert done.returncode == 0, done.stderr
    assert "dev0: /dev/fuse brings /dev/fuse already: fuse=1" in done.stderr
    assert "fuse=1" not in conf(clean_lab, 960)
    clean_lab.ssh("pct start 960")
    assert clean_lab.label(960) == ENFORCED
    clean_lab.ssh("lxc-attach -n 960 -- sh -c 'until docker info >/dev/null 2>&1; do :; done'")
    assert hello(clean_lab, 960) == "it works"


#: Nodes as NVIDIA's driver makes them, though of another device: the lab has no GPU.
GPU = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-caps/nvidia-cap1")


def test_what_a_gpu_has_on_the_node_comes_into_the_container_and_its_docker(clean_lab, tmp_path):
    clean_lab.ssh("mkdir -p /dev/nvidia-caps")
    for one in GPU:
        clean_lab.ssh(f"mknod -m 666 {one} c 1 3")
    file = tmp_path / "fleet.json"
    entry = {**FUSE, "gpu_assignment": "0"}
    file.write_text(json.dumps({"lxc_configs": {"960": entry}}))
    done = pyinfra("harden", "-y", fleet=file, only=960)
    assert done.returncode == 0, done.stderr
    assert "not on this node: /dev/nvidia-uvm, /dev/nvidia-uvm-tools\n" in done.stderr
    now = conf(clean_lab, 960)
    assert all(f"dev{number}: {one}\n" in now for number, one in enumerate(GPU))
    clean_lab.ssh("pct start 960")
    assert clean_lab.label(960) == ENFORCED
    for one in GPU:
        clean_lab.ssh(f"lxc-attach -n 960 -- sh -c 'exec 3<>{one}'")
    clean_lab.ssh("lxc-attach -n 960 -- sh -c 'until docker info >/dev/null 2>&1; do :; done'")
    run = "lxc-attach -n 960 -- docker run --rm --pull never"
    clean_lab.ssh(f"{run} --device {GPU[2]} hello:lab ls {GPU[2]} </dev/null")


def test_a_conf_that_collides_is_left_alone_and_nothing_changes(clean_lab, fleet):
    add(clean_lab, 960, "dev0: /dev/fuse", "features: nesting=1,fuse=1")
    before = state(clean_lab)
    done = pyinfra("harden", "-y", fleet=fleet, only=960)
    assert done.returncode == 1
    assert "pct set 960 --delete dev0" in done.stderr
    assert state(clean_lab) == before


def test_one_device_more_takes_none_of_the_common_ones_away(clean_lab):
    add(clean_lab, 960, "lxc.cgroup2.devices.allow: c 10:200 rwm")
    clean_lab.ssh("pct start 960")
    look = "for one in null zero full random urandom; do : 3<>/dev/$one || exit; done"
    clean_lab.ssh(f"lxc-attach -n 960 -- sh -c '{look}'")


@pytest.mark.long
def test_a_broken_list_of_ha_resources_does_not_disturb_a_run(clean_lab):
    clean_lab.ssh("mkdir -p /etc/pve/ha && echo 'state started' >/etc/pve/ha/resources.cfg")
    said = clean_lab.ssh("pct shutdown 953 && pct start 953").stderr
    assert said.count("ha/resources.cfg line 1 - ignore config line: state started") == 2
    done = pyinfra("harden", "-y", only=953)
    assert done.returncode == 0, done.stderr
    assert "CT 953: done" in done.stderr


def test_what_only_a_write_tells_stops_the_run_before_anything_is_installed(clean_lab):
    clean_lab.ssh("chattr +i /etc/pve/nodes/pve-lab/lxc")
    before = state(clean_lab)
    done = pyinfra("harden", "-y", only=910)
    assert done.returncode == 1
    assert "/etc/pve takes no changes (Operation not permitted), nothing was changed" in done.stderr
    assert state(clean_lab) == before


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("mount --bind /etc/pve /etc/pve && mount -o remount,bind,ro /etc/pve", "is mounted read"),
        ("chmod 555 /etc/pve/nodes/pve-lab/lxc", "this node has no quorum"),
        (
            "mkdir /root/pve && cp -a /etc/pve/. /root/pve && "
            "mount -t tmpfs -o size=2m none /etc/pve && cp -a /root/pve/. /etc/pve && "
            "head -c 1500k /dev/zero >/etc/pve/filler",
            "/etc/pve is full",
        ),
    ],
)
def test_where_no_conf_can_be_written_nothing_is_installed_either(clean_lab, prepare, said):
    clean_lab.ssh(prepare)
    before = state(clean_lab)
    for flags in (["-y"], ["--dry"]):
        done = pyinfra("harden", *flags, only="910,953")
        assert done.returncode == 1
        assert said in done.stderr
    assert state(clean_lab) == before
