"""deploys/harden.py with install=true, and its rollback, on nodes with scripted answers."""

import hashlib
import json

import pytest
from fake_node import CONF, FakeNode, installed

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
}
FLEET = {"910": DOCKER}
LINE = "Docker: installed from its distribution's packages, on fuse-overlayfs"
LABEL = "lxc-docker-nested (enforce)"
RIGHT = CONF.replace("unconfined", "lxc-docker-nested").replace(
    "nesting=1", "nesting=1,keyctl=1,fuse=1"
)
NAMES = ("Stage the containers' changes", "CT 910 ct910", "CT 910 ct910: Docker", "Verdict")


def none(ctid=910, *lines):
    """What the node says of a guest without Docker."""
    said = ["guest 1", "absent", "os debian 13", "manager apt", "fuse no", *lines]
    return {str(ctid): {"state": "none", "text": "\n".join(said), "error": ""}}


def pve(conf=CONF, dockers=None, **changes):
    return FakeNode("pve1", {910: conf.format(name="ct910")}, dockers=dockers or none(), **changes)


def right(**changes):
    return pve(RIGHT, label=LABEL, apparmor=installed(), **changes)


def test_without_the_key_the_plan_names_it_and_nothing_is_done(pyinfra):
    done = pyinfra("harden", right(), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "harden with --data install=true installs it" in done.stderr
    assert "Starting operation" not in done.stderr


def test_docker_comes_after_the_commit_of_its_container(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, install="true")
    assert done.code == 0, done.stderr
    assert f"CT 910 ct910: {LINE}" in done.stderr
    order = [done.stderr.index(f"Starting operation: {name}") for name in NAMES]
    assert order == sorted(order)
    assert done.commands == ["910", "install"]
    assert "install r2" in done.stderr


def test_where_it_is_confined_already_docker_is_all_that_comes(pyinfra):
    responses = {"-install": {"stdout": "CT 910: done: Docker is installed, on fuse-overlayfs"}}
    done = pyinfra("harden", right(responses=responses), fleet=FLEET, install="true")
    assert (done.code, done.commands) == (0, ["install"]), done.stderr
    assert "910   ct910  done: Docker is installed, on fuse-overlayfs" in done.stderr


def test_a_snapshot_comes_before_it_where_nothing_else_is_done(pyinfra):
    done = pyinfra("harden", right(), fleet=FLEET, install="true", snapshot="true")
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "install"]
    assert "Starting operation: Snapshot of CT 910 ct910" in done.stderr


def test_dry_shows_it_and_runs_nothing(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, install="true", flags=("--dry",))
    assert (done.code, done.commands) == (0, []), done.stderr
    assert f"CT 910 ct910: {LINE}" in done.stderr
    assert "nesting=1,fuse=1,keyctl=1" in done.stderr
    assert "CT 910: /etc/docker/daemon.json (new)" in done.stderr
    assert '"storage-driver": "fuse-overlayfs"' in done.stderr


def test_the_plan_as_json_has_it_after_its_container(pyinfra, tmp_path):
    file = tmp_path / "plan.json"
    pyinfra("harden", pve(), fleet=FLEET, install="true", plan=file, flags=("--dry",))
    actions = json.loads(file.read_text())["nodes"][0]["actions"]
    assert [one["action"] for one in actions[-2:]] == ["container", "install-docker"]


def test_after_a_failed_commit_nothing_is_installed(pyinfra):
    failing = {"commit CT 910": {"success": False, "stdout": "CT 910: restored: as it was"}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET, install="true")
    assert (done.code, done.commands) == (1, ["910"])
    assert "910   ct910  restored: as it was" in done.stderr


def test_an_installation_that_fails_says_so_and_stops_the_run(pyinfra):
    says = "CT 910: failed: Docker is not installed: its packages did not all come in, see above"
    failing = {"-install": {"success": False, "stdout": says}}
    done = pyinfra("harden", right(responses=failing), fleet=FLEET, install="true")
    assert done.code == 1
    assert f"910   ct910  {says.removeprefix('CT 910: ')}" in done.stderr


def test_a_guest_that_cannot_have_it_is_refused_when_it_is_named(pyinfra):
    arch = {"910": {"state": "none", "text": "guest 1\nabsent\nos arch ", "error": ""}}
    done = pyinfra("harden", right(dockers=arch), fleet=FLEET, install="true", only=910)
    assert done.code == 1
    assert "its guest (arch) has neither apt, apk nor dnf: do it there by hand" in done.stderr
    assert "Starting operation" not in done.stderr


@pytest.mark.parametrize("recipe", ["audit", "host_prep"])
def test_other_recipes_do_not_take_the_key(pyinfra, recipe):
    done = pyinfra(recipe, right(), fleet=FLEET, install="true")
    assert done.code == 1
    assert "--data install: belongs to harden" in done.stderr


# --- and out again --------------------------------------------------------------------------------

RUN = "r20261122T013000Z-beef"
DAEMON = '{"storage-driver": "fuse-overlayfs"}'


def journal(digest):
    lines = [
        {"event": "begin", "format": 2},
        {
            "event": "intent",
            "ctid": 910,
            "file": "/etc/docker/daemon.json",
            "before": "none",
            "after": digest,
            "driver_before": "",
            "driver": "fuse-overlayfs",
        },
        {"event": "done", "ctid": 910, "file": "/etc/docker/daemon.json", "after": digest},
        {"event": "intent", "ctid": 910, "packages": "docker.io"},
        {"event": "done", "ctid": 910, "packages": "docker.io containerd"},
    ]
    return "".join(f"{json.dumps({'time': '2026-11-22T01:30:00Z', **one})}\n" for one in lines)


def test_a_rollback_takes_it_out(pyinfra):
    info = json.dumps({"ServerVersion": "26.1.5", "Driver": "fuse-overlayfs"})
    lines = ["guest 1", "manager apt", f"info {info}", "package ii docker.io 26"]
    text = "\n".join([*lines, "daemon-file 0 0 644", DAEMON])
    docker = {"910": {"state": "ok", "text": text, "error": ""}}
    digest = hashlib.sha256(DAEMON.encode()).hexdigest()
    done = pyinfra("rollback", right(dockers=docker, runs={RUN: journal(digest)}))
    assert (done.code, done.commands) == (0, ["packages"]), done.stderr
    assert "CT 910: packages to remove: docker.io, containerd" in done.stderr
    assert "CT 910: /etc/docker/daemon.json is removed with them" in done.stderr
    assert "Starting operation: CT 910: remove Docker" in done.stderr
