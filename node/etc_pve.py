"""Whether /etc/pve takes changes, as far as looking tells: nothing is written to try it."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from node.files import read
from node.root import at

_CONFS = "/etc/pve/lxc"
#: Where pmxcfs keeps its database.
_DATABASE = "/var/lib/pve-cluster"


def observe() -> dict[str, Any]:
    """What pmxcfs says of itself; null for what there is not.

    - `mode`: of the folder with this node's confs · `quorate`: what .members says
    - `read_only`, `free`, `files`: of its file system: bytes, and how many more files
    - `database`: bytes free where pmxcfs keeps its database
    """
    try:
        mode = stat.S_IMODE(os.stat(at(_CONFS)).st_mode)
        system = os.statvfs(at(_CONFS))
    except OSError:
        # without it the section of the containers says so
        return dict.fromkeys(("mode", "quorate", "read_only", "free", "files", "database"))
    return {
        "mode": mode,
        "quorate": _quorate(),
        "read_only": bool(system.f_flag & os.ST_RDONLY),
        "free": _free(system),
        # some file systems do not count them
        "files": system.f_ffree if system.f_files else None,
        "database": _database_free(),
    }


def _quorate() -> bool | None:
    """pmxcfs, status.c: a node that is in no cluster says nothing."""
    try:
        said = json.loads(read(at("/etc/pve/.members")) or b"null")
        return bool(said["cluster"]["quorate"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _database_free() -> int | None:
    try:
        return _free(os.statvfs(at(_DATABASE)))
    except OSError:
        return None


def _free(system: os.statvfs_result) -> int:
    return system.f_bavail * (system.f_frsize or system.f_bsize)
