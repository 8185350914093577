"""What of the paths and devices that a fleet file names is on a node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class ObservedStorage:
    """`paths`: those of the asked-for paths that exist; `datasets`: ZFS dataset to mountpoint."""

    paths: tuple[str, ...] = ()
    datasets: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def parse_storage(lines: list[str]) -> ObservedStorage:
    """Read the answer of `templates/node/storage.sh`, one record a line."""
    paths, datasets = [], {}
    for line in lines:
        match line.split(" "):
            case ["exists", path]:
                paths.append(unquote(path))
            case ["dataset", name, mountpoint]:
                datasets[_plain(name)] = _plain(mountpoint)
    return ObservedStorage(tuple(paths), datasets)


def _plain(text: str) -> str:
    r"""Undo the octal escapes of /proc/mounts (`\040` for a blank)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
