"""The stand-in's snapshots: what a conf and its volumes are afterwards, and what is refused."""

from pathlib import Path

import pytest
from standin_node import Node

RECORDED = Path(__file__).parents[1] / "recordings/pct/in-vm"
CONF = """\
arch: amd64
hostname: thin
memory: 128
ostype: unmanaged
rootfs: labthin:vm-921-disk-0,size=204M
swap: 0
unprivileged: 1
lxc.apparmor.profile: unconfined
"""
HARDENED = CONF.replace("unconfined", "lxc-docker-nested")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.has_thin("921")
    node.has("921", CONF)
    return node


def recorded(pattern: str) -> str:
    [file] = RECORDED.glob(pattern)
    return file.read_text().partition("--- stdout\n")[2].partition("--- stderr\n")[0]


def sections(node: Node, ctid: str = "921") -> list[str]:
    return node.conf(ctid).read_text().split("\n\n")


def test_a_rollback_brings_conf_and_volume_of_before_back(node: Node) -> None:
    assert node.run("pct snapshot 921 before").returncode == 0
    node.thin("921").write_text("changed")
    [_, snapshot] = sections(node)
    node.has("921", f"{HARDENED}parent: before\n\n{snapshot}")
    done = node.run("pct rollback 921 before")
    assert (done.returncode, done.stderr) == (0, "")
    assert node.thin("921").read_text() == "disk"
    main, kept = sections(node)
    assert main == CONF.replace("rootfs:", "parent: before\nrootfs:").rstrip("\n")
    assert kept == snapshot


def test_a_rollback_drops_what_is_pending_and_keeps_the_description(node: Node) -> None:
    node.run("pct snapshot 921 before")
    [main, snapshot] = sections(node)
    node.has("921", f"#mine\n{main}\n\n[pve:pending]\nfeatures: nesting=1\n\n{snapshot}")
    assert node.run("pct rollback 921 before").returncode == 0
    assert sections(node) == [f"#mine\n{main}", snapshot]


def test_a_running_container_is_frozen_for_a_snapshot(node: Node) -> None:
    node.has("921", CONF, running=True)
    assert node.run("pct snapshot 921 before").returncode == 0
    rootfs = "/var/lib/lxc/921/rootfs"
    assert node.made() == [f"fsfreeze --freeze {rootfs}", f"fsfreeze --unfreeze {rootfs}"]


def test_a_running_container_is_stopped_for_a_rollback_and_started_if_asked(node: Node) -> None:
    node.run("pct snapshot 921 before")
    node.has("921", node.conf("921").read_text(), running=True)
    assert node.run("pct rollback 921 before").returncode == 0
    assert node.run("pct status 921").stdout == "status: stopped\n"
    assert node.run("pct rollback 921 before --start 1").returncode == 0
    assert node.run("pct status 921").stdout == "status: running\n"


def test_delsnapshot_and_rollback_say_what_lvm_says(node: Node) -> None:
    whole = recorded("9d__pct_delsnapshot*")
    node.has_thin("921", "snap1", "snap2")
    node.has("921", recorded("9d__cat*").replace("parent: snap1", "parent: snap2", 1))
    done = node.run("pct delsnapshot 921 snap2; pct rollback 921 snap1")
    assert done.stdout == "".join(whole.splitlines(keepends=True)[:4])
    assert f"{node.conf('921').read_text()}16885\n" in whole
    assert not node.thin("921", "snap2").exists()


def test_a_deleted_snapshots_parent_becomes_that_of_its_children(node: Node) -> None:
    for name in ("one", "two", "three"):
        assert node.run(f"pct snapshot 921 {name}").returncode == 0
    assert node.run("pct delsnapshot 921 two").returncode == 0
    text = node.conf("921").read_text()
    assert text.count("parent: three\n") == 1
    assert text.count("parent: one\n") == 1
    assert "two" not in text


def test_a_snapshot_that_fails_leaves_nothing(node: Node) -> None:
    node.thin("921").unlink()
    done = node.run("pct snapshot 921 before")
    assert done.returncode == 255
    assert "snapshot create failed: starting cleanup" in done.stdout
    assert node.conf("921").read_text() == CONF


@pytest.mark.parametrize(
    ("command", "conf", "said"),
    [
        ("snapshot 921 current", CONF, "unable to use snapshot name 'current' (reserved name)"),
        ("snapshot 921 one", f"{CONF}lock: backup\n", "CT is locked (backup)"),
        (
            "snapshot 921 one",
            f"{CONF}template: 1\n",
            "you can't take a snapshot if it's a template",
        ),
        (
            "snapshot 921 one",
            f"{CONF}mp0: /srv/shared,mp=/srv\n",
            "snapshot feature is not available",
        ),
        (
            "snapshot 921 one",
            f"{CONF}\n[one]\nsnaptime: 1\n",
            "snapshot name 'one' already used",
        ),
        ("rollback 921 nosuch", CONF, "snapshot 'nosuch' does not exist"),
        ("delsnapshot 921 nosuch", CONF, "snapshot 'nosuch' does not exist"),
        (
            "rollback 921 one",
            f"{CONF}\n[one]\nsnaptime: 1\nsnapstate: prepare\n",
            "unable to rollback to incomplete snapshot (snapstate = prepare)",
        ),
        (
            "rollback 921 one",
            f"{CONF}lock: backup\n\n[one]\nsnaptime: 1\n",
            "CT is locked (backup)",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    node: Node, command: str, conf: str, said: str
) -> None:
    node.has("921", conf)
    done = node.run(f"pct {command}")
    assert (done.returncode, done.stderr) == (255, f"{said}\n")
    assert node.conf("921").read_text() == conf
