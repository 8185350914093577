"""The lab itself, on its real kernel."""

from __future__ import annotations

import time
import warnings

import pytest

from lab.recipe import chosen
from lab.versions import changes, seen, versions

pytestmark = pytest.mark.lab

RUNNING = {"910", "952", "953", "954", "956"}
DRIVERS = {910: "overlay2", 952: "overlay2", 954: "fuse-overlayfs", 956: "overlay2"}


def test_the_stack_is_the_one_that_was_written_down_or_says_in_a_line_what_changed(lab):
    stack = chosen()
    now = versions(lab.target)
    assert now.keys() == seen(stack).keys()
    if changed := changes(seen(stack), now):
        # no failure: a suite moves whenever it likes
        warnings.warn(f"the {stack.name} stack has {', '.join(changed)}", stacklevel=1)


def test_the_node_enforces_apparmor(lab):
    assert lab.ssh("cat /sys/module/apparmor/parameters/enabled").stdout == "Y\n"
    assert "lxc-container-default" in lab.ssh("cat /sys/kernel/security/apparmor/profiles").stdout


def test_auditd_has_no_rate_limit_and_loses_nothing(lab):
    status = dict(line.split(" ", 1) for line in lab.ssh("auditctl -s").stdout.splitlines())
    assert status["enabled"] == "1"
    assert status["rate_limit"] == "0"
    assert int(status["backlog_limit"]) >= 8192


def test_a_reset_brings_containers_back_as_they_were(clean_lab):
    clean_lab.ssh("pct stop 953 && rm /etc/pve/lxc/954.conf && touch /root/litter")
    clean_lab.reset()
    assert set(clean_lab.ssh("lxc-ls -1 --running").stdout.split()) == RUNNING
    assert clean_lab.ssh("test -e /etc/pve/lxc/954.conf && test ! -e /root/litter").returncode == 0


def test_a_reset_sets_the_clock(clean_lab):
    assert abs(float(clean_lab.ssh("date +%s.%N").stdout) - time.time()) < 5


def test_no_time_goes_by_in_a_saved_state(clean_lab):
    uptime = "cut -d ' ' -f 1 /proc/uptime"
    before = float(clean_lab.ssh(uptime).stdout)
    clean_lab.ssh("sleep 10")
    clean_lab.reset()
    assert abs(float(clean_lab.ssh(uptime).stdout) - before) < 5


@pytest.fixture(scope="module")
def fresh(lab):
    """The lab in its clean state, for tests that only look."""
    lab.reset()
    return lab


def test_every_running_container_is_unconfined_at_first(fresh):
    assert {ctid: fresh.label(int(ctid)) for ctid in RUNNING} == dict.fromkeys(
        RUNNING, "unconfined"
    )


def test_each_docker_container_has_its_storage_driver(fresh):
    ask = "lxc-attach -n {} -- docker info -f '{{{{.Driver}}}}'"
    assert {ctid: fresh.ssh(ask.format(ctid)).stdout.strip() for ctid in DRIVERS} == DRIVERS


@pytest.mark.parametrize("ctid", [952, 954])
def test_docker_runs_offline_on_either_driver(fresh, ctid):
    said = fresh.ssh(f"lxc-attach -n {ctid} -- docker run --rm --pull never hello:lab echo hello")
    assert said.stdout == "hello\n"


def test_a_container_runs_in_910_and_answers_on_its_port(fresh):
    names = fresh.ssh("lxc-attach -n 910 -- docker ps --format '{{.Names}}'").stdout
    assert names == "portainer\n"
    page = fresh.ssh(
        "python3 -c 'import urllib.request as r;"
        ' print(r.urlopen("http://10.10.10.110:9443/").read().decode())\''
    )
    assert page.stdout.strip() == "portainer"


def test_953_has_no_docker(fresh):
    assert fresh.ssh("lxc-attach -n 953 -- which dockerd", check=False).returncode != 0


def test_956_has_a_runc_of_1_3_or_later(fresh):
    version = fresh.ssh("lxc-attach -n 956 -- runc --version").stdout.split()[2]
    assert tuple(int(part) for part in version.split(".")[:2]) >= (1, 3)


def test_fuse_is_only_where_the_conf_says_so(fresh):
    for ctid in (910, 952, 956):
        found = fresh.ssh(f"lxc-attach -n {ctid} -- test -e /dev/fuse", check=False)
        assert found.returncode == 1, ctid
    assert fresh.ssh("lxc-attach -n 954 -- test -c /dev/fuse").returncode == 0


def test_fuse_overlayfs_can_be_installed_in_952_without_a_network(clean_lab):
    inside = "lxc-attach -n 952 --"
    assert clean_lab.ssh(f"{inside} which fuse-overlayfs", check=False).returncode != 0
    clean_lab.ssh(f"{inside} sh -c 'apt-get -q update && apt-get -qy install fuse-overlayfs'")
    assert clean_lab.ssh(f"{inside} fuse-overlayfs --version").returncode == 0
    owner = clean_lab.ssh("stat -c %u /var/lib/lxc/952/rootfs/usr/bin/fuse-overlayfs").stdout
    assert owner == "100000\n"


def test_the_stopped_container_starts_and_stops(clean_lab):
    clean_lab.ssh("pct start 960")
    assert clean_lab.ssh("pct status 960").stdout == "status: running\n"
    clean_lab.ssh("pct stop 960")
    assert clean_lab.ssh("pct status 960").stdout == "status: stopped\n"
    assert clean_lab.ssh("mountpoint -q /var/lib/lxc/960/rootfs", check=False).returncode != 0
