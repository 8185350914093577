"""A running guest without Docker gets it from its own package sources, confined all the while, and
a rollback takes it out again: CT 953.
"""

from __future__ import annotations

import json

import pytest
from confined import denied
from conftest import Node
from on_node import ENFORCED, conf, pyinfra, standing, state

pytestmark = pytest.mark.lab

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}
HELLO = """
    docker import - hello:lab </usr/share/lab/hello.tar >/dev/null
    docker run --rm --pull never hello:lab echo it works
    docker rmi hello:lab >/dev/null
"""


def guest(node: Node, script: str) -> str:
    return node.ssh("lxc-attach -n 953 -- sh -eu", input=script).stdout


def harden(folder, *flags, **data):
    fleet = folder / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {"953": DOCKER}}))
    return pyinfra("harden", "-y", *flags, fleet=fleet, **data)


@pytest.fixture(scope="module")
def before(lab):
    """The node as it is before, and CT 953 without Docker."""
    lab.reset()
    return standing(lab)


@pytest.fixture(scope="module")
def installed(lab, before, tmp_path_factory):
    """The node after the run that brought Docker into CT 953."""
    folder = tmp_path_factory.mktemp("install")
    done = harden(folder, install="true")
    assert done.returncode == 0, done.stderr
    return lab, folder, done


def test_without_the_key_it_is_confined_and_the_plan_names_the_key(lab, before, tmp_path):
    done = harden(tmp_path, "--dry")
    assert done.returncode == 0, done.stderr
    assert "harden with --data install=true installs it" in done.stderr
    assert "fuse=1" not in done.stderr
    assert standing(lab) == before


def test_docker_comes_in_on_the_wanted_driver_and_works(installed):
    node, _, done = installed
    assert node.label(953) == ENFORCED
    assert "fuse=1" in conf(node, 953).partition("\n[")[0]
    assert "CT 953: ok a container of our own runs and answers on a published port" in done.stderr
    assert "CT 953: done: Docker is installed, on fuse-overlayfs" in done.stderr
    assert guest(node, "docker info --format '{{.Driver}}'").strip() == "fuse-overlayfs"
    assert guest(node, HELLO).strip() == "it works"
    assert guest(node, "systemctl is-enabled docker.service").strip() == "enabled"


def test_no_other_storage_driver_ever_held_anything(installed):
    node = installed[0]
    folders = guest(node, "ls /var/lib/docker").split()
    assert "fuse-overlayfs" in folders
    assert not {"overlay2", "vfs", "btrfs"} & {*folders}


def test_dockerd_is_confined_and_nothing_was_denied(installed):
    node = installed[0]
    label = guest(node, "cat /proc/$(cat /run/docker.pid)/attr/apparmor/current").strip()
    assert label == ENFORCED
    assert denied(node, "lxc-docker-nested") == []


def test_a_second_run_has_no_operation(installed):
    node, folder, _ = installed
    now = state(node)
    done = harden(folder, install="true")
    assert done.returncode == 0, done.stderr
    assert "pve-lab: nothing to change" in done.stderr
    assert state(node) == now


def test_a_docker_that_holds_something_stays_and_so_does_all_of_its_container(installed):
    node, _, _ = installed
    guest(node, "docker volume create mine")
    now = conf(node, 953)
    done = pyinfra("rollback", "-y", "--dry")
    assert "its Docker holds 1 volume: it stays" in done.stderr
    assert conf(node, 953) == now
    guest(node, "docker volume rm mine")


def test_a_rollback_takes_it_out_and_the_node_is_what_it_was(installed, before):
    node, _, _ = installed
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert "Starting operation: CT 953: remove Docker" in done.stderr
    assert standing(node) == before
    assert guest(node, "command -v dockerd || echo none").strip() == "none"


@pytest.mark.long
def test_one_that_was_cut_short_is_gone_on_with(clean_lab, tmp_path):
    node = clean_lab
    write = "mkdir -p /etc/docker; cat >/etc/docker/daemon.json"
    node.ssh(f"lxc-attach -n 953 -- sh -c '{write}'", input='{"storage-driver": "fuse-overlayfs"}')
    guest(node, "apt-get -qq update; apt-get -qq -y install runc")
    done = harden(tmp_path, install="true")
    assert done.returncode == 0, done.stderr
    guest(node, "systemctl disable --now docker.socket docker.service")
    done = harden(tmp_path, install="true")
    assert done.returncode == 0, done.stderr
    assert guest(node, HELLO).strip() == "it works"
