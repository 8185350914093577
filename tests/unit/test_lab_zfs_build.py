"""ZFS for a node of the lab: compiled once for each kernel, put in only where one was compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from lab import zfs
from lab.errors import LabError
from lab.recipe import STACKS

STABLE = STACKS["stable"]


@dataclass
class Target:
    """A node with this kernel; notes what it is told, and what that reads."""

    kernel: str = "6.12.118+deb13-amd64"
    told: list[tuple[str, bytes | None]] = field(default_factory=list)

    def run(self, command, stdin=None):
        if command == "uname -r":
            return SimpleNamespace(stdout=f"{self.kernel}\n")
        self.told.append((command, stdin))
        return None


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """What was compiled, as the options of each tree."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trees = []

    def mmdebstrap(work, _name, suite, *options):
        trees.append(f"{suite} {' '.join(options)}")
        (work / "out/zfs.tar").write_bytes(b"modules")

    monkeypatch.setattr(zfs, "mmdebstrap", mmdebstrap)
    return trees


def test_it_is_put_in_and_then_the_container_is_made(compiled):
    node = Target()
    zfs.put_in(STABLE, node)
    (first, modules), (second, _) = node.told
    assert first.startswith("tar -C / --keep-directory-symlink -xf - && depmod")
    assert modules == b"modules"
    assert second == "/usr/lib/phoenix-lab/zfs-guest"


def test_it_is_compiled_once_for_each_kernel_and_suite(compiled):
    for stack, kernel in (
        *[(STABLE, "6.12.118+deb13-amd64")] * 2,
        (STABLE, "6.12.119+deb13-amd64"),
        (STACKS["current"], "6.12.119+deb13-amd64"),
    ):
        zfs.put_in(stack, Target(kernel))
    assert [tree.split()[0] for tree in compiled] == ["trixie", "trixie", "forky"]
    assert "--include=linux-headers-6.12.118+deb13-amd64,gcc," in compiled[0]
    assert "--components=main,contrib" in compiled[0]


def test_one_that_does_not_compile_leaves_the_node_as_it_is(compiled, monkeypatch):
    def fails(*_):
        raise LabError("ZFS does not compile")

    monkeypatch.setattr(zfs, "mmdebstrap", fails)
    node = Target()
    with pytest.raises(LabError, match="does not compile"):
        zfs.put_in(STABLE, node)
    assert node.told == []


@pytest.mark.parametrize("kernel", ["6.17.2-1-pve", "6.12-amd64,gcc", "$(reboot)-amd64", ""])
def test_a_kernel_that_is_none_of_debians_is_refused(compiled, kernel):
    with pytest.raises(LabError, match="none of Debian's"):
        zfs.put_in(STABLE, Target(kernel))
    assert compiled == []
