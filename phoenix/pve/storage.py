"""What of the paths and devices that a fleet file and confs name is on a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phoenix.text.printable import printable


@dataclass(frozen=True)
class ObservedStorage:
    """`paths`: those of the asked-for paths that exist; `datasets`: ZFS dataset to mountpoint.

    `silent`: paths that give no answer, of the confs' mounts as well, and how that shows.
    """

    paths: tuple[str, ...] = ()
    datasets: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def storage_from_json(data: Mapping[str, Any]) -> ObservedStorage:
    """Read the section `storage` of the node's answer (`node.storage`)."""
    silent = {path: printable(why, 200) for path, why in data["silent"].items()}
    return ObservedStorage(tuple(data["paths"]), data["datasets"], silent)
