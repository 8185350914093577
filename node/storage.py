"""Which directories and devices that the fleet file names are on the node."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from node.backups import storages
from node.files import read, text
from node.root import at


def observe(paths: list[str]) -> dict[str, Any]:
    """Those of `paths` that exist, and where the ZFS datasets are mounted.

    Those below a storage of Proxmox by the storage's name as well: `STORAGE/NAME`.
    """
    datasets = dict(_datasets())
    return {
        "paths": [path for path in paths if os.path.exists(at(path))],
        "datasets": {**dict(_by_storage(datasets)), **datasets},
    }


def _by_storage(datasets: dict[str, str]) -> Iterator[tuple[str, str]]:
    for storage, one in storages().items():
        pool = one.get("pool") if one["type"] == "zfspool" else None
        for name, place in datasets.items() if pool else ():
            if name.startswith(f"{pool}/"):
                yield f"{storage}{name[len(pool or '') :]}", place


def _datasets() -> Iterator[tuple[str, str]]:
    """Each mounted dataset with where that is: of all its places the one that came first.

    Others are binds of it, as Proxmox makes one of a container's disk while that runs. Of a folder
    in it they show another root (proc_pid_mountinfo(5)).
    """
    lines = (text(read(at("/proc/self/mountinfo"))) or "").split("\n")
    for line in reversed(lines):
        place, _, source = line.partition(" - ")
        fields, kind = place.split(" "), source.split(" ")
        if kind[0] == "zfs" and fields[3] == "/":
            yield _plain(kind[1]), _plain(fields[4])


def _plain(field: str) -> str:
    r"""Undo the octal escapes of mountinfo: `\040` is a blank."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
