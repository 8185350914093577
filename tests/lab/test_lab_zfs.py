"""A container whose disk is a ZFS dataset, with a dataset mounted into it, on a real kernel.

The datasets have atime=off, as many have them: what is mounted from there is noatime, and runc says
so again in its remounts.
"""

from __future__ import annotations

import json

import pytest
from conftest import CHECKOUT
from on_node import ENFORCED, conf, denials, hello, pyinfra, state

from lab.vm import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long]

CTID = 959
ENTRY = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "auto",
    "zfs_volumes": [{"pool": "tank", "name": "media", "mount_point": "/srv/media"}],
}
IMPORT = """
    until systemctl -q is-active docker; do sleep 1; done
    docker import -c 'CMD ["/bin/sh"]' /usr/share/lab/hello.tar hello:lab
"""


def guest(node, script):
    return node.ssh(f"lxc-attach -n {CTID} -- sh -eu", input=script).stdout


def driver(node):
    return guest(node, "docker info -f '{{.Driver}} on {{index .DriverStatus 0 1}}'").strip()


@pytest.fixture(scope="module")
def hardened(lab, tmp_path_factory):
    """From its first start, without a profile, through one harden run."""
    lab.reset()
    Lab(CHECKOUT).zfs()
    lab.ssh(f"pct start {CTID}")
    guest(lab, IMPORT)
    before = conf(lab, CTID), driver(lab)
    fleet = tmp_path_factory.mktemp("zfs") / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {str(CTID): ENTRY}}))
    return lab, pyinfra("harden", "-y", fleet=fleet), before, fleet


def test_it_is_confined_and_proven(hardened):
    node, done, _, _ = hardened
    assert done.returncode == 0, done.stderr
    assert node.label(CTID) == ENFORCED
    assert f"CT {CTID}: ok a container of our own runs and answers" in done.stderr
    assert hello(node, CTID) == "it works"


def test_docker_chooses_overlay2_and_so_does_auto(hardened):
    node, _, (_, before), _ = hardened
    assert before == driver(node) == "overlay2 on zfs"


def test_the_dataset_is_mounted_and_docker_binds_from_it(hardened):
    node, _, _, _ = hardened
    mounts = guest(node, "grep ' /srv/media ' /proc/mounts").split()
    assert mounts[0] == "tank/media"
    assert "noatime" in mounts[3].split(",")
    write = "docker run --rm --pull never -v /srv/media:/v hello:lab sh -c 'echo kept >/v/file'"
    guest(node, write)
    assert node.ssh("cat /tank/media/file").stdout == "kept\n"
    assert node.ssh("stat -c %u /tank/media/file").stdout == "100000\n"


def test_nothing_was_denied(hardened):
    node, _, _, _ = hardened
    assert denials(node, "lxc-docker-nested") == 0


def test_a_second_run_changes_nothing(hardened):
    node, _, _, fleet = hardened
    before = state(node)
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert "pve-lab: nothing to change" in done.stderr
    assert state(node) == before


def test_a_rollback_brings_its_conf_back(hardened):
    node, _, (before, _), _ = hardened
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert conf(node, CTID) == before
    assert node.label(CTID) == "unconfined"
    assert driver(node) == "overlay2 on zfs"
    assert hello(node, CTID) == "it works"
