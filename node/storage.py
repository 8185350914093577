"""Which directories and devices that the fleet file names are on the node."""

from __future__ import annotations

import os
import re
from typing import Any

from node.files import read, text
from node.root import at


def observe(paths: list[str]) -> dict[str, Any]:
    """Those of `paths` that exist, and where the ZFS datasets are mounted."""
    mounts = [line.split(" ") for line in (text(read(at("/proc/mounts"))) or "").split("\n")]
    return {
        "paths": [path for path in paths if os.path.exists(at(path))],
        "datasets": {
            _plain(fields[0]): _plain(fields[1]) for fields in mounts if fields[2:3] == ["zfs"]
        },
    }


def _plain(field: str) -> str:
    r"""Undo the octal escapes of /proc/mounts: `\040` is a blank."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
