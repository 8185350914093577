"""Where things are on the node: its root, its programs, our own state."""

from __future__ import annotations

import os

#: Where a node and a guest have their programs, sbin included.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: As `at` takes them.
STATE = "/var/lib/phoenix-harden"
RUNS = f"{STATE}/runs"

# What the environment says is for the tests, and asked when it is needed: they import the program
# once for many nodes.


def at(path: str) -> str:
    """The place of a file that is named as on the node: `/etc/pve/lxc/910.conf`."""
    return os.environ.get("PHOENIX_ROOT", "") + path


def seconds(name: str, usual: float) -> float:
    """How long something takes or may take: as usual, but for the tests."""
    return float(os.environ.get(f"PHOENIX_{name}", usual))


def environment() -> dict[str, str]:
    """What a program that we start is given of ours: plain messages, and where programs are."""
    tools = os.environ.get("PHOENIX_PATH", "")
    return {**os.environ, "LC_ALL": "C", "PATH": f"{tools}:{PATH}" if tools else PATH}
