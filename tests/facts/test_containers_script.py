"""containers.pl against a tree of files that looks like a node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand

from facts.pct import Containers
from phoenix.observed import ObservedPct

pytestmark = pytest.mark.skipif(not shutil.which("perl"), reason="perl is not installed")

GENERATED = "lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"


class Node:
    """A fake node: every method lays down the files of one thing."""

    def __init__(self, root: Path, name: str = "pve1") -> None:
        self.root = root
        (root / "etc/pve/nodes" / name / "lxc").mkdir(parents=True)
        (root / "etc/pve/local").symlink_to(f"nodes/{name}")
        (root / "etc/pve/lxc").symlink_to(f"nodes/{name}/lxc")
        self.write("proc/stat", "cpu  1 2 3\nbtime 1795300000\nprocesses 5\n")
        self.write("proc/sys/kernel/hostname", f"{name}.example\n")

    def write(self, path: str, data: str | bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)

    def conf(self, ctid: int, data: str | bytes = "arch: amd64\n") -> None:
        self.write(f"etc/pve/lxc/{ctid}.conf", data)

    def process(self, pid: int, cgroup: str, depth: int = 2, label: str | None = None) -> None:
        numbers = [str(pid), "57", "1"] if depth == 3 else [str(pid), "1"]
        self.write(f"proc/{pid}/status", "Name:\tx y\nNSpid:\t" + "\t".join(numbers) + "\n")
        fields = " ".join(["S", "1", *["0"] * 17, "830300", "0"])
        self.write(f"proc/{pid}/stat", f"{pid} (a (b) c) {fields}\n")
        if label:
            self.write(f"proc/{pid}/attr/apparmor/current", f"{label}\n")
        path = self.root / f"sys/fs/cgroup/{cgroup}/cgroup.procs"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as procs:
            procs.write(f"{pid}\n")

    def run(self) -> tuple[ObservedPct, str]:
        command = StringCommand(Containers().command()).get_raw_value()
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"PATH": os.environ["PATH"], "PHOENIX_ROOT": str(self.root), "LC_ALL": "C"},
            capture_output=True,
            check=True,
        )
        assert done.stderr == b""
        # as pyinfra reads it: text, lines, ends stripped
        lines = [line.strip() for line in done.stdout.decode("utf-8").splitlines()]
        return Containers().process(lines), done.stdout.decode()

    def see(self) -> ObservedPct:
        return self.run()[0]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_running_container_shows_pid_label_start_and_live_features(node: Node) -> None:
    node.conf(910, "features: nesting=1,fuse=1\n")
    node.process(1234, "lxc/910/ns/init.scope", label=GENERATED)
    node.write(
        "var/lib/lxc/910/config",
        "lxc.arch = amd64\nlxc.seccomp.profile = /var/lib/lxc/910/rules.seccomp\n"
        "lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\n",
    )
    node.write("var/lib/lxc/910/rules.seccomp", "2\ndenylist\nkeyctl errno 38\n")
    (node.root / "proc/1234/root/dev").mkdir(parents=True)
    (node.root / "proc/1234/root/dev/fuse").symlink_to("/dev/null")  # any character device

    seen = node.see().containers[910]

    assert (seen.running, seen.pid, seen.label) == (True, 1234, GENERATED)
    assert seen.started == 1795300000 + 8303
    assert seen.live is not None
    features = {name: seen.live.feature(name) for name in ("nesting", "keyctl", "fuse", "mount")}
    assert features == {"nesting": "1", "keyctl": "0", "fuse": "1", "mount": ""}


def test_a_container_without_systemd_is_found_by_searching(node: Node) -> None:
    node.conf(911)
    # dockerd's containers stand in the same tree and have process numbers of three levels
    node.process(50, "lxc/911/ns/docker/abc", depth=3)
    node.process(51, "lxc/911/ns/zz/openrc.sshd")
    node.write("proc/51/attr/current", "unconfined\0\n")

    seen = node.see().containers[911]

    assert (seen.running, seen.pid, seen.label) == (True, 51, "unconfined")


def test_a_container_whose_first_process_is_gone_still_counts_as_running(node: Node) -> None:
    node.conf(912)
    node.process(60, "lxc/912/ns/docker/abc", depth=3)

    seen = node.see().containers[912]

    assert (seen.running, seen.pid, seen.live) == (True, None, None)


def test_an_empty_control_group_is_a_stopped_container(node: Node) -> None:
    node.conf(913)
    node.write("sys/fs/cgroup/lxc/913/ns/cgroup.procs", "")

    assert not node.see().containers[913].running


def test_only_names_of_confs_are_read(node: Node) -> None:
    for name in ["99.conf", "0100.conf", "1000000000.conf", "910.conf.bak", "notes.txt", "x.conf"]:
        node.write(f"etc/pve/lxc/{name}", "arch: amd64\n")
    node.conf(999999999)
    node.conf(100)

    assert list(node.see().containers) == [100, 999999999]


def test_other_nodes_and_the_ha_manager_are_read(node: Node) -> None:
    node.conf(910)
    node.conf(911)
    node.conf(912)
    node.write("etc/pve/nodes/pve2/lxc/955.conf", "arch: amd64\n")
    node.write(
        "etc/pve/ha/resources.cfg",
        "ct: 910\n\tgroup all\n\tstate ignored\n\nvm: 911\n\tstate stopped\n\nct: 912\n\n",
    )

    seen = node.see()

    assert seen.node == "pve1"
    assert seen.elsewhere == {955: "pve2"}
    assert {ctid: ct.ha for ctid, ct in seen.containers.items()} == {
        910: "ignored",
        911: None,
        912: "started",
    }


def test_every_byte_of_a_conf_arrives(node: Node) -> None:
    data = bytes(range(256)) * 2 + b"\r\n-\n%41 \x0c\x0b\x1c\xe2\x80\xa8  "
    node.conf(910, data)
    node.conf(911, b"-")
    node.conf(912, b"")

    seen = node.see().containers

    assert [seen[n].conf.to_bytes() for n in (910, 911, 912)] == [data, b"-", b""]


def test_without_proxmox_it_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (tmp_path / "etc/pve/lxc").unlink()

    seen = node.see()

    assert not seen.containers
    assert seen.problems[0].startswith("no-pve: ")


def test_the_first_processes_of_two_hundred_containers_are_told_apart(node: Node) -> None:
    for ctid in range(300, 500):
        node.conf(ctid, f"#{'x' * 500}\nhostname: ct{ctid}\nlxc.apparmor.profile: lxc-docker\n" * 3)
        for scope in ("user.slice", "system.slice/a.service", "system.slice/docker-1.scope"):
            node.process(ctid * 100, f"lxc/{ctid}/ns/{scope}", depth=3)
        node.process(ctid, f"lxc/{ctid}/ns/init.scope", label="lxc-docker (enforce)")
        node.write(f"var/lib/lxc/{ctid}/config", "lxc.apparmor.profile = lxc-docker\n" * 40)

    seen, _ = node.run()

    assert len(seen.containers) == 200
    assert all(ct.pid == ct.ctid for ct in seen.containers.values())
