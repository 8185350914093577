"""Where things are on the node: its root, its programs, our own state."""

from __future__ import annotations

import os

#: A fake root and fake tools, for the tests; on a node both are unset.
ROOT = os.environ.get("PHOENIX_ROOT", "")
_TOOLS = os.environ.get("PHOENIX_PATH", "")

#: Where a node and a guest have their programs, sbin included.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

STATE = f"{ROOT}/var/lib/phoenix-harden"
RUNS = f"{STATE}/runs"


def at(path: str) -> str:
    """The place of a file that is named as on the node: `/etc/pve/lxc/910.conf`."""
    return ROOT + path


def environment() -> dict[str, str]:
    """What a program that we start is given of ours: plain messages, and where programs are."""
    return {**os.environ, "LC_ALL": "C", "PATH": f"{_TOOLS}:{PATH}" if _TOOLS else PATH}
