"""Which trees an image is built from, in which order, and ZFS' modules in the node's."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace

import pytest

from lab import build, recipe
from lab.errors import LabError
from lab.recipe import SCRIPTS, STACKS

STABLE = STACKS["stable"]


@pytest.fixture
def trees(monkeypatch, tmp_path):
    """The trees as they are begun, name to options; ZFS' takes until another one is begun."""
    begun = {}
    another = threading.Event()

    def mmdebstrap(_work, name, _suite, *options):
        begun[name] = " ".join(options)
        if name == "zfs":
            another.wait(10)
            begun["zfs is done"] = ""
        else:
            another.set()

    monkeypatch.setattr(build, "mmdebstrap", mmdebstrap)
    return lambda stack: build._build_all(tmp_path, stack) or begun


def test_the_node_is_built_when_its_modules_are_there_and_takes_them_in(trees):
    begun = trees(STABLE)
    names = list(begun)
    assert names.index("zfs is done") < names.index("node")
    assert {*names} == {"zfs", "zfs is done", "guest", "older", "runc", "node"}
    assert "zfs-install.sh" in begun["node"]
    assert "zfsutils-linux" in begun["node"]
    assert begun["node"].index("zfs-install.sh") < begun["node"].index("make-image.sh")


def test_a_stack_without_zfs_has_nothing_of_it(trees):
    begun = trees(replace(STABLE, zfs=False, older_suite=None))
    assert {*begun} == {"guest", "runc", "node"}
    assert "zfs-install.sh" not in begun["node"]
    assert "contrib" not in begun["node"]


def test_modules_that_do_not_compile_end_the_build_and_no_node_is_begun(trees, monkeypatch):
    begun = []

    def mmdebstrap(_work, name, _suite, *_options):
        begun.append(name)
        if name == "zfs":
            raise LabError("ZFS does not compile")

    monkeypatch.setattr(build, "mmdebstrap", mmdebstrap)
    with pytest.raises(LabError, match="ZFS does not compile"):
        trees(STABLE)
    assert "node" not in begun


def test_modules_for_another_kernel_are_refused_in_one_sentence(tmp_path):
    for folder in ("tree/lib/modules/6.12.119", "modules/6.12.118"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "modules/log").touch()
    script = SCRIPTS / "zfs-install.sh"
    done = subprocess.run(
        ["sh", script, tmp_path / "tree", tmp_path / "modules"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == (
        "E: the node's kernel is 6.12.119 and ZFS was compiled for 6.12.118: build it again\n"
    )
    assert [*(tmp_path / "tree/lib/modules/6.12.119").iterdir()] == []


def test_with_zfs_the_trees_are_other_ones():
    assert recipe.trees_key(STABLE) != recipe.trees_key(replace(STABLE, zfs=False))
