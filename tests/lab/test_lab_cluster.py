"""Two nodes with one /etc/pve: one fleet file, profiles everywhere, never both halves at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ha_stack
import pytest
from conftest import CHECKOUT, Node
from on_node import ENFORCED, command, conf, hello, pyinfra

from lab.cluster import ADDRESSES, Cluster
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


def started(deploy: str, **data: object) -> subprocess.Popen[str]:
    """A run that goes on; what it says is on its stderr."""
    return subprocess.Popen(
        command(deploy, "-y", **data),
        cwd=CHECKOUT,
        env={**os.environ, "NO_COLOR": "1", "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def migrate(ctid: int, source: Node, target: Node) -> None:
    """What `pct migrate --restart` does: it is stopped, its disk copied, its conf moved, and it is
    started there.
    """
    tools = "/usr/lib/phoenix-lab"
    source.ssh(f"pct shutdown {ctid} --timeout 600 && {tools}/umount-rootfs {ctid}")
    # the second node is a copy of the first: an old disk is there
    target.ssh(f"{tools}/umount-rootfs {ctid} && rm -r /var/lib/vz/images/{ctid}")
    images = "tar -C /var/lib/vz/images -S -f - "
    pack, unpack = f"{images} -c {ctid}", f"{images} -x"
    with subprocess.Popen(source.target.command([pack]), stdout=subprocess.PIPE) as sends:
        subprocess.run(target.target.command([unpack]), stdin=sends.stdout, check=True)
    assert sends.returncode == 0
    places = [f"/etc/pve/nodes/{node.ssh('hostname').stdout.strip()}" for node in (source, target)]
    source.ssh(f"mv {places[0]}/lxc/{ctid}.conf {places[1]}/lxc/")
    target.ssh(f"pct start {ctid} && {tools}/wait-settled")


def write(path: Path, more: dict[int, dict[str, object]], **top: object) -> Path:
    configs = {str(ctid): {**DOCKER, **keys} for ctid, keys in more.items()}
    path.write_text(json.dumps({"lxc_configs": configs, **top}))
    return path


@dataclass(frozen=True)
class Seen:
    """What was seen of the containers again and again while a run went on: label by CTID."""

    nodes: Nodes
    looks: list[dict[int, str]]
    output: str
    code: int

    def were_apart(self) -> bool:
        """Whether both of the pair were down, and never at once."""
        pair = (PORTAINER, QDRANT)
        were_down = all(any(not look[ctid] for look in self.looks) for ctid in pair)
        return were_down and all(any(look[ctid] for ctid in pair) for look in self.looks)


def watched(nodes: Nodes, deploy: str, **data: object) -> Seen:
    """Have a run go to its end, and look on."""
    over, looks = threading.Event(), []

    def watch() -> None:
        while not over.is_set():
            looks.append({ctid: nodes.label(ctid) for ctid in (PORTAINER, QDRANT, WEBUI)})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = pyinfra(deploy, "-y", **data)
    finally:
        over.set()
        watcher.join()
    return Seen(nodes, looks, done.stderr, done.returncode)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Path:
    """One of a pair that must not go down together depends on a third; all are to be confined."""
    return write(
        tmp_path_factory.mktemp("fleet") / "fleet.json",
        {PORTAINER: {"dependencies": [str(WEBUI)]}, QDRANT: {"apparmor_profile": OTHER}, WEBUI: {}},
        apart=[[str(PORTAINER), str(QDRANT)]],
    )


@pytest.fixture(scope="module")
def run(cluster: Cluster, fleet: Path) -> Seen:
    """A run over both nodes beside each other."""
    nodes = Nodes(*map(Node, cluster.reset()))
    return watched(nodes, "harden", fleet=fleet, rolling="nodes")


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
    assert run.were_apart()


def test_what_another_one_depends_on_came_first_though_on_another_node(run):
    down = next(look for look in run.looks if not look[PORTAINER])
    assert down[WEBUI] == ENFORCED


def test_a_second_run_and_a_strict_audit_have_nothing_to_say(run, fleet):
    again = pyinfra("harden", "-y", fleet=fleet)
    assert again.returncode == 0, again.stderr
    for name in ("pve-lab", "pve-lab2"):
        assert f"{name}: nothing to change" in again.stderr
    audit = pyinfra("audit", "-y", fleet=fleet, strict="true", only=f"{QDRANT},{WEBUI}")
    assert audit.returncode == 0, audit.stderr


def test_a_rollback_keeps_apart_whom_the_run_kept_apart(run):
    back = watched(run.nodes, "rollback", rolling="nodes")
    assert back.code == 0, back.output
    assert back.were_apart()
    labels = {run.nodes.label(ctid) for ctid in (PORTAINER, QDRANT, WEBUI)}
    assert labels == {"unconfined"}


def test_a_node_that_dies_stops_the_run_and_the_next_one_recovers_it(nodes, cluster, tmp_path):
    fleet = write(tmp_path / "fleet.json", {WEBUI: {}, PORTAINER: {"dependencies": [str(WEBUI)]}})
    before = conf(nodes.first, PORTAINER)
    with started("harden", fleet=fleet) as process:
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


#: A check that passes and tells of it the first time, and afterwards when it is let go on.
BLOCKS = "[ -e /root/go ] || { [ -p /root/begun ] && echo >/root/begun && rm /root/begun; }"


@dataclass(frozen=True)
class Moved:
    """What such a run has come to; `before`: each conf as it was."""

    nodes: Nodes
    before: dict[int, str]
    output: str
    code: int


@pytest.fixture(scope="module")
def migration(cluster: Cluster, tmp_path_factory) -> Moved:
    """A run in which Portainer moves to the second node while its turn is still to come."""
    nodes = Nodes(*map(Node, cluster.reset()))
    check = {"command": BLOCKS, "retries": 60, "interval": 10, "timeout": 15}
    fleet = write(
        tmp_path_factory.mktemp("fleet") / "fleet.json",
        {WEBUI: {"health_check": check}, PORTAINER: {"dependencies": [str(WEBUI)]}},
    )
    before = {ctid: conf(nodes.of(ctid), ctid) for ctid in (PORTAINER, WEBUI)}
    inside = f"lxc-attach -n {WEBUI} -- "
    nodes.first.ssh(f"lxc-attach -n {PORTAINER} -- sh -c 'echo first >/root/made-on'")
    nodes.second.ssh(f"{inside} mkfifo /root/begun")
    with started("harden", fleet=fleet) as process:
        nodes.second.ssh(f"{inside} cat /root/begun")
        migrate(PORTAINER, nodes.first, nodes.second)
        nodes.second.ssh(f"{inside} touch /root/go")
        assert process.stderr is not None
        said = process.stderr.read()
    return Moved(nodes, before, said, process.returncode)


def test_what_moves_in_the_middle_of_a_run_is_confined_where_it_is(migration):
    assert migration.code == 0, migration.output
    told = f"CT {PORTAINER}: it is on pve-lab2 now and planned anew there"
    assert told in migration.output
    second = migration.nodes.second
    assert [second.label(ctid) for ctid in (WEBUI, PORTAINER)] == [ENFORCED, ENFORCED]
    assert f"lxc.apparmor.profile: {ENFORCED.split()[0]}" in conf(second, PORTAINER)
    assert hello(second, PORTAINER) == "it works"
    made = second.ssh(f"lxc-attach -n {PORTAINER} -- cat /root/made-on").stdout
    assert made == "first\n"


def test_its_rollback_finds_each_where_it_is_by_what_is_kept_where_it_was(migration):
    first, second = migration.nodes.first, migration.nodes.second
    migrate(WEBUI, second, first)
    assert first.label(WEBUI) == ENFORCED
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert f"CT {WEBUI}: changed on pve-lab2, it goes back by what is kept there" in done.stderr
    now = {WEBUI: conf(first, WEBUI), PORTAINER: conf(second, PORTAINER)}
    assert now == migration.before
    assert [first.label(WEBUI), second.label(PORTAINER)] == ["unconfined", "unconfined"]
    for node in (first, second):
        loaded = node.ssh("cat /sys/kernel/security/apparmor/profiles").stdout.splitlines()
        assert ENFORCED not in loaded


@pytest.fixture
def operator(nodes, tmp_path, monkeypatch):
    """Somebody whose ssh_config(5) has the ports of the nodes, and who knows the first of them.

    ssh itself reads that of the user's entry in passwd, whatever HOME is.
    """
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    shutil.copy(nodes.first.target.known_hosts, ssh)
    hosts = zip(("pve-lab", ADDRESSES[1]), (nodes.first, nodes.second), strict=True)
    lines = [f"UserKnownHostsFile {ssh}/known_hosts"]
    for name, node in hosts:
        lines += [f"Host {name}", f"HostName {node.host}", f"Port {node.port}"]
        lines.append(f"IdentityFile {node.key}")
    (ssh / "config").write_text("\n".join(lines))
    reads = tmp_path / "bin/ssh"
    reads.parent.mkdir()
    reads.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {ssh}/config "$@"\n')
    reads.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    monkeypatch.setenv("PATH", f"{reads.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PHOENIX_CLUSTER", "root@pve-lab")


def test_one_node_tells_of_all_and_a_member_that_is_offline_is_left_out(nodes, operator, tmp_path):
    fleet = write(tmp_path / "fleet.json", {PORTAINER: {}, WEBUI: {}})
    done = pyinfra("audit", "-y", fleet=fleet, unmanaged="ignore")
    assert done.returncode == 0, done.stderr
    for name in ("pve-lab", "pve-lab2"):
        assert f"{name}: 1 container, 1 needs attention" in done.stderr
    denials = [sys.executable, "-m", "phoenix.cli.main", "denials", "--json"]
    asked = subprocess.run(denials, cwd=CHECKOUT, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    assert [one["node"] for one in json.loads(asked.stdout)["nodes"]] == ["pve-lab", "pve-lab2"]

    offline = """import json, sys
said = json.load(open("/etc/pve/.members"))
said["nodelist"]["pve-lab2"]["online"] = 0
json.dump(said, open("/etc/pve/.members", "w"))
"""
    nodes.first.ssh("python3 -", input=offline)
    refused = pyinfra("audit", "-y", fleet=fleet, offline="refuse")
    assert refused.returncode == 1
    assert "offline: pve-lab2: nothing was changed" in refused.stderr
    for words in ({}, {"offline": "skip"}):
        done = pyinfra("audit", "-y", fleet=fleet, unmanaged="ignore", **words)
        assert done.returncode == 0, done.stderr
        assert "left out, nothing is known of what runs there: pve-lab2" in done.stderr
        assert f"on no node of this inventory: {WEBUI} (on pve-lab2)" in done.stderr
        assert "\n1 container, 1 needs attention" in done.stderr


def test_what_ha_manages_on_the_second_node_is_hardened_there_and_ha_has_it_back(nodes, tmp_path):
    ha_stack.manage(WEBUI, [nodes.first, nodes.second])
    fleet = write(tmp_path / "fleet.json", {PORTAINER: {}, WEBUI: {}})
    done = pyinfra("harden", "-y", fleet=fleet, ha="true")
    assert done.returncode == 0, done.stderr
    assert [nodes.label(ctid) for ctid in (PORTAINER, WEBUI)] == [ENFORCED, ENFORCED]
    sets = [f"ha-manager set ct:{WEBUI} --state {state}" for state in ("ignored", "started")]
    assert ha_stack.calls(nodes.second) == sets
    assert ha_stack.asked(nodes.first) == ha_stack.resources(WEBUI)
    for node in (nodes.first, nodes.second):
        assert ha_stack.acts(node) == ""
    assert ha_stack.calls(nodes.first) == []
