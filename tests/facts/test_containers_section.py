"""node/containers.py against a tree of files that looks like a node."""

import json
from pathlib import Path

import pytest

from facts.pct import Containers
from node import containers as section
from phoenix.pve.observed import ObservedPct
from tests.facts.conftest import FactNode

GENERATED = "lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"


class Node(FactNode):
    """A fake node: every method lays down the files of one thing."""

    def __init__(self, folder: Path, name: str = "pve1") -> None:
        super().__init__(folder)
        (self.root / "etc/pve/nodes" / name / "lxc").mkdir(parents=True)
        (self.root / "etc/pve/local").symlink_to(f"nodes/{name}")
        (self.root / "etc/pve/lxc").symlink_to(f"nodes/{name}/lxc")
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

    def ask(self) -> ObservedPct:
        return self.see(Containers)


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

    seen = node.ask().containers[910]

    assert (seen.running, seen.pid, seen.label) == (True, 1234, GENERATED)
    assert seen.started == 1795300000 + 8303
    assert seen.live is not None
    features = {name: seen.live.feature(name) for name in ("nesting", "keyctl", "fuse", "mount")}
    assert features == {"nesting": "1", "keyctl": "0", "fuse": "0", "mount": ""}


def test_dev_fuse_is_told_by_what_the_node_gave_it_and_no_guest_is_looked_into(node: Node) -> None:
    for ctid in (910, 911, 912):
        node.conf(ctid)
        node.process(ctid, f"lxc/{ctid}/ns/init.scope")
        # whatever lies there is the guest's
        node.write(f"proc/{ctid}/root/dev/fuse", "")
    entry = "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0\n"
    node.write("var/lib/lxc/910/config", entry)
    node.write("var/lib/lxc/911/devices", "c:10:229:/dev/fuse\n")
    node.write("var/lib/lxc/912/config", entry.replace("dev/fuse none", "dev/fused none"))
    found = {ctid: one.live.dev_fuse for ctid, one in node.ask().containers.items() if one.live}
    assert found == {910: True, 911: True, 912: False}


def test_the_first_process_is_lxcs_own_child_and_nothing_is_searched(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.conf(910)
    for number in range(30):
        node.process(100 + number, f"lxc/910/ns/many/{number}", depth=3)
    node.process(7, "lxc/910/ns/many/15/deep/deeper")
    node.write("sys/fs/cgroup/lxc.monitor/910/cgroup.procs", "5\n")
    node.write("proc/5/task/5/children", "6 7 ")
    monkeypatch.setenv("PHOENIX_ROOT", str(node.root))
    asked = []
    is_init = section._is_init
    monkeypatch.setattr(section, "_is_init", lambda pid: asked.append(pid) or is_init(pid))
    assert section.observe()["containers"]["910"]["pid"] == 7
    assert asked == [6, 7]


@pytest.mark.parametrize("limit", ["_MOST_FOLDERS", "_MOST_PROCESSES", "_PATIENCE"])
def test_a_search_among_control_groups_without_end_has_one(
    node: Node, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    node.conf(910)
    for number in range(30):
        node.process(100 + number, f"lxc/910/ns/many/{number}", depth=3)
    node.process(7, "lxc/910/ns/many/15/deep/deeper")
    monkeypatch.setenv("PHOENIX_ROOT", str(node.root))
    monkeypatch.setattr(section, limit, 0 if limit == "_PATIENCE" else 20)
    found = section.observe()["containers"]["910"]
    assert (found["running"], found["pid"]) == (True, None)


def test_a_container_without_systemd_is_found_by_searching(node: Node) -> None:
    node.conf(911)
    # dockerd's containers stand in the same tree and have process numbers of three levels
    node.process(50, "lxc/911/ns/docker/abc", depth=3)
    node.process(51, "lxc/911/ns/zz/openrc.sshd")
    node.write("proc/51/attr/current", "unconfined\0\n")

    seen = node.ask().containers[911]

    assert (seen.running, seen.pid, seen.label) == (True, 51, "unconfined")


def test_a_container_whose_first_process_is_gone_still_counts_as_running(node: Node) -> None:
    node.conf(912)
    node.process(60, "lxc/912/ns/docker/abc", depth=3)

    seen = node.ask().containers[912]

    assert (seen.running, seen.pid, seen.live) == (True, None, None)


def test_an_empty_control_group_is_a_stopped_container(node: Node) -> None:
    node.conf(913)
    node.write("sys/fs/cgroup/lxc/913/ns/cgroup.procs", "")

    assert not node.ask().containers[913].running


def test_only_names_of_confs_are_read(node: Node) -> None:
    for name in ["99.conf", "0100.conf", "1000000000.conf", "910.conf.bak", "notes.txt", "x.conf"]:
        node.write(f"etc/pve/lxc/{name}", "arch: amd64\n")
    node.conf(999999999)
    node.conf(100)

    assert list(node.ask().containers) == [100, 999999999]


def test_other_nodes_and_the_ha_manager_are_read(node: Node) -> None:
    node.conf(910)
    node.conf(911)
    node.conf(912)
    node.write("etc/pve/nodes/pve2/lxc/955.conf", "arch: amd64\n")
    node.write(
        "etc/pve/ha/resources.cfg",
        "ct: 910\n\tgroup all\n\tstate ignored\n\nvm: 911\n\tstate stopped\n\nct: 912\n\n",
    )

    seen = node.ask()

    assert seen.node == "pve1"
    assert seen.elsewhere == {955: "pve2"}
    assert {ctid: ct.ha for ctid, ct in seen.containers.items()} == {
        910: "ignored",
        911: None,
        912: "started",
    }


@pytest.mark.parametrize(
    ("disarm", "ha"),
    [
        ({"mode": "ignore", "state": "disarmed"}, "disarmed"),
        ({"mode": "ignore", "state": "disarming"}, "disarming"),
        ({"mode": "freeze", "state": "disarmed"}, "frozen"),
        ({"mode": "freeze", "state": "disarming"}, "disarming"),
        (None, "started"),
        # what nobody knows of is not the end of the HA stack
        ({"mode": "rest", "state": "disarmed"}, "started"),
        ({"mode": ["ignore"], "state": "disarmed"}, "started"),
        ({"state": "disarmed"}, "started"),
        ("ignore", "started"),
    ],
)
def test_a_disarmed_ha_stack_is_read_and_what_it_ignores_stays_ignored(
    node: Node, disarm: object, ha: str
) -> None:
    for ctid in (910, 911, 912):
        node.conf(ctid)
    node.write("etc/pve/ha/resources.cfg", "ct: 910\n\nct: 911\n\tstate ignored\n")
    status = {"node_status": {"pve1": "online"}, "service_status": {}, "timestamp": 1790000000}
    status |= {"disarm": disarm} if disarm else {}
    node.write("etc/pve/ha/manager_status", json.dumps(status))
    seen = {ctid: ct.ha for ctid, ct in node.ask().containers.items()}
    assert seen == {910: ha, 911: "ignored", 912: None}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"disarm": 1}', "[" * 100_000])
def test_a_broken_status_of_the_ha_stack_leaves_what_its_resources_say(
    node: Node, text: str
) -> None:
    node.conf(910)
    node.write("etc/pve/ha/resources.cfg", "ct: 910\n")
    node.write("etc/pve/ha/manager_status", text)
    assert node.ask().containers[910].ha == "started"


def test_a_conf_that_cannot_be_read_is_a_problem_and_the_others_are_told(node: Node) -> None:
    node.conf(910)
    (node.root / "etc/pve/lxc/911.conf").mkdir()
    seen = node.ask()
    assert list(seen.containers) == [910]
    assert seen.problems == ("unreadable: /etc/pve/lxc/911.conf: Is a directory",)


def test_every_byte_of_a_conf_arrives(node: Node) -> None:
    data = bytes(range(256)) * 2 + b"\r\n-\n%41 \x0c\x0b\x1c\xe2\x80\xa8  "
    node.conf(910, data)
    node.conf(911, b"-")
    node.conf(912, b"")

    seen = node.ask().containers

    assert [seen[n].conf.to_bytes() for n in (910, 911, 912)] == [data, b"-", b""]


def test_without_proxmox_it_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.root / "etc/pve/lxc").unlink()

    seen = node.ask()

    assert not seen.containers
    assert seen.problems[0].startswith("no-pve: ")


def test_the_first_processes_of_two_hundred_containers_are_told_apart(node: Node) -> None:
    for ctid in range(300, 500):
        node.conf(ctid, f"#{'x' * 500}\nhostname: ct{ctid}\nlxc.apparmor.profile: lxc-docker\n" * 3)
        for scope in ("user.slice", "system.slice/a.service", "system.slice/docker-1.scope"):
            node.process(ctid * 100, f"lxc/{ctid}/ns/{scope}", depth=3)
        node.process(ctid, f"lxc/{ctid}/ns/init.scope", label="lxc-docker (enforce)")
        node.write(f"var/lib/lxc/{ctid}/config", "lxc.apparmor.profile = lxc-docker\n" * 40)

    seen = node.ask()

    assert len(seen.containers) == 200
    assert all(ct.pid == ct.ctid for ct in seen.containers.values())
