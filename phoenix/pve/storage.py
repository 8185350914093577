"""What of the paths and devices that a fleet file and confs name is on a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from phoenix.pve.host_paths import guest_disks
from phoenix.pve.nvidia import ObservedNvidia, nvidia_from_json
from phoenix.text.printable import printable


@dataclass(frozen=True)
class ObservedStorage:
    """`paths`: those of the asked-for paths that exist; `datasets`: ZFS dataset to mountpoint.

    `nvidia`: what else its GPUs have there, if that was asked.
    `silent`: paths that give no answer, of the confs' mounts as well, and how that shows.
    """

    paths: tuple[str, ...] = ()
    datasets: Mapping[str, str] = field(default_factory=dict)
    nvidia: ObservedNvidia = field(default_factory=ObservedNvidia)
    silent: Mapping[str, str] = field(default_factory=dict)

    def has(self, path: str) -> bool:
        """Whether an asked-for path is there, or is where ZFS mounts a dataset."""
        return path in self._there

    @cached_property
    def guest_disks(self) -> Mapping[str, str]:
        """Where its datasets of guests are (`phoenix.pve.host_paths`)."""
        return guest_disks(self.datasets)

    @cached_property
    def _there(self) -> frozenset[str]:
        return frozenset(self.paths).union(self.datasets.values())

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def storage_from_json(data: Mapping[str, Any]) -> ObservedStorage:
    """Read the section `storage` of the node's answer (`node.storage`)."""
    silent = {path: printable(why, 200) for path, why in data["silent"].items()}
    nvidia = nvidia_from_json(data.get("nvidia"))
    return ObservedStorage(tuple(data["paths"]), data["datasets"], nvidia, silent)
