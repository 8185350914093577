"""The stand-in destroys and restores containers: confs, volumes, refusals."""

from pathlib import Path

import pytest
from standin_images import (
    DEBIAN,
    UNCONFINED,
    has_image,
    image,
    node_with_template,
    pack,
    plain,
    rootfs,
)
from standin_node import Node

RECORDED = Path(__file__).parents[1] / "recordings/pct/in-vm"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return node_with_template(tmp_path)


# --- destroy --------------------------------------------------------------------------------------


def test_a_destroyed_container_leaves_no_conf_and_no_volume(node: Node) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    has_image(node, "910", "vm-910-disk-1.raw")
    node.has("910", plain("910", options="unused0: local:910/vm-910-disk-1.raw\n"))
    done = node.run("pct destroy 910")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not node.conf("910").exists()
    assert not image(node, "910", "").exists()


def test_what_a_container_mounts_from_the_node_stays(node: Node) -> None:
    shared = node.root / "srv/shared"
    shared.mkdir(parents=True)
    has_image(node, "910", "vm-910-disk-0.raw")
    node.has("910", plain("910").replace("net0", f"mp0: {shared},mp=/srv\nnet0"))
    assert node.run("pct destroy 910 --purge --force").returncode == 0
    assert shared.is_dir()


def test_destroy_and_purge_say_what_was_recorded(node: Node) -> None:
    node.has_thin("921", "snap1")
    node.has("921", plain("921", "labthin:vm-921-disk-0"))
    done = node.run("pct stop 921; pct destroy 921 --purge")
    [file] = RECORDED.glob("9e__pct_stop*lvs.2.txt")
    text = file.read_text()
    assert done.stdout == text.partition("--- stdout\n")[2].partition("910.conf")[0]
    assert done.stderr == text.partition("--- stderr\n")[2].partition("--- exit")[0]


def test_volumes_that_no_conf_names_go_only_if_asked(node: Node) -> None:
    for name in ("vm-910-disk-0.raw", "vm-910-disk-7.raw"):
        has_image(node, "910", name)
    node.has("910", plain("910"))
    assert node.run("pct destroy 910").returncode == 0
    assert image(node, "910", "vm-910-disk-7.raw").exists()
    node.has("910", plain("910", "local:910/vm-910-disk-7.raw"))
    has_image(node, "910", "vm-910-disk-0.raw")
    assert node.run("pct destroy 910 --destroy-unreferenced-disks").returncode == 0
    assert not image(node, "910", "").exists()


def test_a_running_one_is_destroyed_by_force(node: Node) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    node.has("910", plain("910"), running=True)
    assert node.run("pct destroy 910").returncode == 255
    done = node.run("pct destroy 910 --force")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "forced to stop CT 910 before destroying!\n"
    assert not node.conf("910").exists()


def test_protection_and_ha_are_in_the_way_of_a_destruction(node: Node) -> None:
    node.has("910", plain("910").replace("rootfs", "protection: 1\nrootfs"))
    done = node.run("pct destroy 910 --force --purge")
    why = "can't remove CT 910 - protection mode enabled\n"
    assert (done.returncode, done.stderr) == (255, why)
    has_image(node, "910", "vm-910-disk-0.raw")
    node.has("910", plain("910"))
    resources = node.root / "etc/pve/ha/resources.cfg"
    resources.parent.mkdir()
    other = "ct: 911\n\tstate started\n\n"
    resources.write_text(f"ct: 910\n\tstate started\n\n{other}")
    done = node.run("pct destroy 910")
    why = "used in HA resources and purge parameter not set.\n"
    assert (done.returncode, done.stderr) == (255, f"unable to remove CT 910 - {why}")
    assert node.run("pct destroy 910 --purge").returncode == 0
    assert resources.read_text() == other


# --- restore --------------------------------------------------------------------------------------


def has_backup(node: Node, conf: str) -> None:
    backup = node.root / "root/vzdump-lxc-910-2026_11_27-10_00_00.tar"
    pack(backup, {**DEBIAN, "etc/vzdump/pct.conf": conf.encode()}, {})


RESTORE = "restore 910 /root/vzdump-lxc-910-2026_11_27-10_00_00.tar"


def test_a_restored_container_takes_the_place_of_the_one_that_is_there(node: Node) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    has_backup(node, plain("910"))
    hardened = plain("910").replace("unconfined", "lxc-docker-nested")
    node.has("910", hardened)
    assert "CT 910 already exists on node 'pve-lab'" in node.run(f"pct {RESTORE}").stderr
    assert node.conf("910").read_text() == hardened

    done = node.run(f"pct {RESTORE} --force")
    assert (done.returncode, done.stderr) == (0, "")
    assert "merging backed-up and given configuration..\n" in done.stdout
    assert node.conf("910").read_text() == plain("910", "local:910/vm-910-disk-1.raw")
    assert not image(node, "910", "vm-910-disk-0.raw").exists()
    assert rootfs(node, "910", "etc/hostname").read_text() == "template\n"
    assert not rootfs(node, "910", "etc/vzdump").exists()


def test_a_container_that_is_gone_is_restored_with_its_mounts(node: Node) -> None:
    has_backup(node, plain("910").replace("net0", "mp0: /srv/shared,mp=/srv\nnet0"))
    assert node.run(f"pct {RESTORE} --storage labthin").returncode == 0
    conf = node.conf("910").read_text()
    assert "mp0: /srv/shared,mp=/srv\n" in conf
    assert "rootfs: labthin:vm-910-disk-0,size=4G\n" in conf
    assert conf.endswith(UNCONFINED)


@pytest.mark.parametrize(
    ("conf", "running", "said"),
    [
        (plain("910"), True, "can't overwrite running container"),
        (
            plain("910").replace("rootfs", "protection: 1\nrootfs"),
            False,
            "unable to restore CT 910 - protection mode enabled",
        ),
        (
            plain("910").replace("memory", "lock: backup\nmemory"),
            False,
            "unable to restore CT 910 - CT is locked (backup)",
        ),
    ],
)
def test_what_must_not_be_overwritten_is_not(
    node: Node, conf: str, running: bool, said: str
) -> None:
    has_backup(node, plain("910"))
    node.has("910", conf, running=running)
    done = node.run(f"pct {RESTORE} --force")
    assert (done.returncode, done.stderr) == (255, f"{said}\n")
    assert node.conf("910").read_text() == conf


def test_a_backup_without_a_conf_changes_nothing(node: Node) -> None:
    pack(node.root / "root/vzdump-lxc-910-2026_11_27-10_00_00.tar", DEBIAN, {})
    node.has("910", plain("910"))
    done = node.run(f"pct {RESTORE} --force")
    assert done.returncode == 255
    assert done.stderr.startswith("unable to restore CT 910 - command 'tar -xO ")
    assert node.conf("910").read_text() == plain("910")
