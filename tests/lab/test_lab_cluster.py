"""Two nodes with one /etc/pve: one fleet file, profiles everywhere, never both halves at once."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import CHECKOUT, Node
from on_node import ENFORCED, command, conf, pyinfra

from lab.cluster import Cluster
from lab.vm import Lab

# beside the first node a second one takes what a machine with two cores has
pytestmark = [pytest.mark.lab, pytest.mark.long]

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}
OTHER = "lxc-phoenix-v2"
#: On the first node, the others are on the second.
PORTAINER, QDRANT, WEBUI = 910, 952, 956


@dataclass(frozen=True)
class Nodes:
    """The two nodes, and which of them has a container."""

    first: Node
    second: Node

    def of(self, ctid: int) -> Node:
        return self.first if ctid == PORTAINER else self.second

    def label(self, ctid: int) -> str:
        """Its label, "" while it does not run."""
        look = f"cat /proc/$(lxc-info -n {ctid} -pH)/attr/current 2>/dev/null || :"
        return self.of(ctid).ssh(look).stdout.strip()


@pytest.fixture(scope="module")
def cluster(lab: Node) -> Iterator[Cluster]:
    """Both nodes, and one of them again when the last test has ended."""
    made = Cluster(CHECKOUT)
    made.up()
    yield made
    Lab(CHECKOUT, number=2).down()


@pytest.fixture
def nodes(cluster: Cluster) -> Nodes:
    return Nodes(*map(Node, cluster.reset()))


def write(path: Path, more: dict[int, dict[str, object]], **top: object) -> Path:
    configs = {str(ctid): {**DOCKER, **keys} for ctid, keys in more.items()}
    path.write_text(json.dumps({"lxc_configs": configs, **top}))
    return path


@dataclass(frozen=True)
class Seen:
    """What was seen of the containers again and again while a run went on: label by CTID."""

    nodes: Nodes
    looks: list[dict[int, str]]
    fleet: Path
    output: str
    code: int


@pytest.fixture(scope="module")
def run(cluster: Cluster, tmp_path_factory) -> Seen:
    """A run over both nodes beside each other."""
    nodes = Nodes(*map(Node, cluster.reset()))
    fleet = write(
        tmp_path_factory.mktemp("fleet") / "fleet.json",
        {PORTAINER: {"dependencies": [str(WEBUI)]}, QDRANT: {"apparmor_profile": OTHER}, WEBUI: {}},
        apart=[[str(PORTAINER), str(QDRANT)]],
    )
    over, looks = threading.Event(), []

    def watch() -> None:
        while not over.is_set():
            looks.append({ctid: nodes.label(ctid) for ctid in (PORTAINER, QDRANT, WEBUI)})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = pyinfra("harden", "-y", fleet=fleet, rolling="nodes")
    finally:
        over.set()
        watcher.join()
    return Seen(nodes, looks, fleet, done.stderr, done.returncode)


def test_all_are_confined_each_on_its_node(run):
    assert run.code == 0, run.output
    assert run.nodes.label(PORTAINER) == run.nodes.label(WEBUI) == ENFORCED
    assert run.nodes.label(QDRANT) == f"{OTHER} (enforce)"


def test_every_node_had_every_profile_before_the_first_container_changed(run):
    installed, started = [], []
    for node in (run.nodes.first, run.nodes.second):
        loaded = node.ssh("cat /sys/kernel/security/apparmor/profiles").stdout.splitlines()
        for profile in ("lxc-docker-nested", OTHER):
            assert f"{profile} (enforce)" in loaded
            installed.append(float(node.ssh(f"stat -c %.Y /etc/apparmor.d/{profile}").stdout))
    for ctid in (PORTAINER, QDRANT, WEBUI):
        begun = f"stat -c %.Y /proc/$(lxc-info -n {ctid} -pH)"
        started.append(float(run.nodes.of(ctid).ssh(begun).stdout))
    assert max(installed) < min(started)


def test_the_two_that_are_apart_were_never_down_at_once(run):
    assert any(not look[PORTAINER] for look in run.looks)
    assert any(not look[QDRANT] for look in run.looks)
    assert all(look[PORTAINER] or look[QDRANT] for look in run.looks)


def test_what_another_one_depends_on_came_first_though_on_another_node(run):
    down = next(look for look in run.looks if not look[PORTAINER])
    assert down[WEBUI] == ENFORCED


def test_a_second_run_and_a_strict_audit_have_nothing_to_say(run):
    again = pyinfra("harden", "-y", fleet=run.fleet)
    assert again.returncode == 0, again.stderr
    for name in ("pve-lab", "pve-lab2"):
        assert f"{name}: nothing to change" in again.stderr
    audit = pyinfra("audit", "-y", fleet=run.fleet, strict="true", only=f"{QDRANT},{WEBUI}")
    assert audit.returncode == 0, audit.stderr


def test_a_node_that_dies_stops_the_run_and_the_next_one_recovers_it(nodes, cluster, tmp_path):
    fleet = write(tmp_path / "fleet.json", {WEBUI: {}, PORTAINER: {"dependencies": [str(WEBUI)]}})
    before = conf(nodes.first, PORTAINER)
    call = command("harden", "-y", fleet=fleet)
    environment = {**os.environ, "NO_COLOR": "1", "PYINFRA_PROGRESS": "off"}
    with subprocess.Popen(
        call,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while nodes.label(WEBUI):
            assert process.poll() is None
        cluster.labs[1].power_cut()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode != 0
    assert "pve-lab2" in said
    assert "Traceback" not in said, said
    assert nodes.label(PORTAINER) == "unconfined"
    assert conf(nodes.first, PORTAINER) == before

    cluster.join()
    nodes.second.ssh(f"pct start {WEBUI} || :")
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert nodes.label(WEBUI) == nodes.label(PORTAINER) == ENFORCED
