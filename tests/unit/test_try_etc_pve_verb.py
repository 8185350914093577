"""node/try_etc_pve.py on a tree of files."""

import os

import pytest
from script_node import ScriptNode


@pytest.fixture
def node(tmp_path):
    its = ScriptNode(tmp_path)
    its.has("/etc/pve/nodes/pve1/lxc/910.conf", "hostname: a\n")
    (its.root / "etc/pve/lxc").symlink_to("nodes/pve1/lxc")
    return its


def there(node):
    return sorted(path.name for path in (node.root / "etc/pve/nodes/pve1/lxc").iterdir())


def test_where_a_file_can_be_written_nothing_is_left_of_it(node):
    done = node.verb("try-etc-pve")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert there(node) == ["910.conf"]


def test_what_a_killed_one_has_left_is_taken_away_and_what_another_writes_now_is_not(node):
    left, writes = f"phoenix-harden.tmp.{2**22 + 1}", f"phoenix-harden.tmp.{os.getpid()}"
    for name in (left, writes, "phoenix-harden.tmp.x"):
        node.has(f"/etc/pve/lxc/{name}", "")
    assert node.verb("try-etc-pve").returncode == 0
    assert there(node) == ["910.conf", writes, "phoenix-harden.tmp.x"]


def test_where_none_can_be_that_is_said_with_what_to_look_at(node):
    (node.root / "etc/pve/lxc").unlink()
    done = node.verb("try-etc-pve")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        "/etc/pve takes no changes (No such file or directory), nothing was changed: "
        "see pvecm status, and the journal of pve-cluster\n"
    )


def test_a_disk_that_is_full_leaves_nothing_behind(node):
    # a file of no size at most: as with a full disk the write fails, not the making of the file
    node.boot = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + node.boot
    )
    done = node.verb("try-etc-pve")
    assert done.returncode == 1
    assert "/etc/pve takes no changes (File too large)" in done.stdout
    assert there(node) == ["910.conf"]
