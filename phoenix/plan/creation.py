"""A container that the fleet file describes and the node lacks: how it is made.

Made whole or not at all, by the node alone (`node.create`): datasets and folders that it mounts,
`pct create` or `pct clone`, its raw lines, its first start under the profile, Docker, the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phoenix.docker.install import Install
from phoenix.plan.actions import ContainerChange


@dataclass(frozen=True)
class Dataset:
    """A ZFS dataset to make where it is missing; never changed, never destroyed.

    `quota`: bytes, None for none; `owner`: uid and gid on the node of its root, None: root.
    """

    name: str
    quota: int | None = None
    owner: tuple[int, int] | None = None


@dataclass(frozen=True)
class Folder:
    """A folder of the node to make where it is missing; never changed, never removed."""

    path: str
    owner: tuple[int, int] | None = None


@dataclass(frozen=True)
class Creation:
    """One container to make.

    `change`: its conf as `pct` makes it, as far as that is known before (`before`), and as it first
    starts (`after`), and what is proven then. `pct`: the argument lists, without `pct`, in their
    order: `create` or `clone`, then `set` and `resize`. `start`: it runs afterwards; a template for
    others need not, and is started only to bring Docker in and to prove it. `snapshot`: the name of
    the one that is taken at the end, "" for none.
    """

    change: ContainerChange
    pct: tuple[tuple[str, ...], ...]
    datasets: tuple[Dataset, ...] = ()
    folders: tuple[Folder, ...] = ()
    start: bool = True
    snapshot: str = ""
    install: Install | None = None

    @property
    def ctid(self) -> int:
        """Its number."""
        return self.change.ctid

    @property
    def name(self) -> str:
        """Its name."""
        return self.change.name

    def to_json(self) -> dict[str, Any]:
        """The staged file `create.json`, as the node's program reads it (`node.create`)."""
        main = self.change.after.main
        return {
            "pct": [[*words] for words in self.pct],
            "raw": [[*pair] for pair in main.raw_items()],
            "datasets": [
                {"name": one.name, "quota": one.quota, "owner": one.owner} for one in self.datasets
            ],
            "folders": [{"path": one.path, "owner": one.owner} for one in self.folders],
            "start": self.start,
            "snapshot": self.snapshot,
            "install": self.install.to_json() if self.install else None,
        }
