"""node/etc_pve.py on a tree of files."""

import json
import os

import pytest

from facts.etc_pve import EtcPve
from phoenix.pve.etc_pve import ObservedEtcPve


@pytest.fixture
def confs(node):
    folder = node.root / "etc/pve/nodes/pve1/lxc"
    folder.mkdir(parents=True)
    (node.root / "etc/pve/lxc").symlink_to("nodes/pve1/lxc")
    yield folder
    folder.chmod(0o755)


def test_a_folder_that_takes_changes_is_told_with_its_room(node, confs):
    (node.root / "var/lib/pve-cluster").mkdir(parents=True)
    seen = node.see(EtcPve)
    system = os.statvfs(confs)
    assert (seen.mode, seen.quorate, seen.read_only) == (0o755, None, False)
    assert seen.free is not None
    assert abs(seen.free - system.f_bavail * system.f_frsize) < 2**30
    assert seen.database is not None
    assert seen.refusal is None


def test_nothing_is_written_to_find_out(node, confs):
    before = [(path, path.lstat().st_mtime_ns) for path in sorted(node.root.rglob("*"))]
    node.see(EtcPve)
    after = [(path, path.lstat().st_mtime_ns) for path in sorted(node.root.rglob("*"))]
    assert after == before


def test_without_quorum_pmxcfs_shows_a_folder_that_nobody_may_write(node, confs):
    confs.chmod(0o555)
    assert node.see(EtcPve).refusal[0] == "this node has no quorum: /etc/pve takes no changes"


@pytest.mark.parametrize(("said", "quorate"), [(0, False), (1, True)])
def test_what_the_cluster_says_of_its_quorum_counts(node, confs, said, quorate):
    members = {"nodename": "pve1", "version": 5, "cluster": {"name": "home", "quorate": said}}
    node.has("/etc/pve/.members", json.dumps(members))
    seen = node.see(EtcPve)
    assert seen.quorate is quorate
    assert bool(seen.refusal) is not quorate


@pytest.mark.parametrize(
    "text", ["", "{", '{"nodename": "pve1", "version": 3}', "[1]", '{"cluster": null}', "[" * 9999]
)
def test_a_node_in_no_cluster_says_nothing_of_quorum_and_nor_does_a_broken_file(node, confs, text):
    node.has("/etc/pve/.members", text)
    assert node.see(EtcPve).quorate is None


def test_a_machine_without_etc_pve_says_nothing(node):
    assert node.see(EtcPve) == ObservedEtcPve()
    assert ObservedEtcPve().refusal is None
