"""Where on a node a container can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Storage:
    """A storage of `/etc/pve/storage.cfg`.

    `content`: what it may hold, () where it does not say; `usable`: by this node; `pool`: of one of
    ZFS the dataset that its disks are in, "" of any other.
    """

    type: str
    content: tuple[str, ...] = ()
    usable: bool = True
    pool: str = ""

    def holds(self, content: str) -> bool:
        """Whether it may hold that, as far as it says."""
        return not self.content or content in self.content


@dataclass(frozen=True)
class ObservedStock:
    """What `pct create` finds (`node.stock`).

    `guests`: virtual machines of the cluster with their nodes; `storages`: by name; `templates`:
    those of the asked-for that are there; `pools`: ZFS pools. Without any storage nobody asked.
    """

    guests: Mapping[int, str] = field(default_factory=dict)
    storages: Mapping[str, Storage] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def stock_from_json(data: Mapping[str, Any]) -> ObservedStock:
    """Read the section `stock` of the node's answer (`node.stock`)."""
    storages = {
        name: Storage(
            one["type"],
            tuple(part for part in one["content"].replace(",", " ").split() if part != "none"),
            one["usable"],
            one["pool"],
        )
        for name, one in data["storages"].items()
    }
    guests = {int(number): node for number, node in data["guests"].items()}
    return ObservedStock(guests, storages, tuple(data["templates"]), tuple(data["pools"]))
