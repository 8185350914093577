"""Whose a process is: the container, and the one of Docker or podman inside it, by control group.

The names of groups below the container's own are the guest's to choose: it can call its own
process by another number of an engine, never by another container's.
"""

from __future__ import annotations

import re
import time

from node import containers
from node.files import read
from node.root import at

#: A container, and the id of an engine's container in it, "" for a process of its own.
Owner = tuple[int, str]

# as the node sees it: 0::/lxc/910/ns/system.slice/docker-ID.scope
_GROUP = re.compile(
    rb"^[0-9]+:[^:\n]*:/lxc(?:\.payload)?[./]([1-9][0-9]{0,8})(/[^\n]*)?$", re.MULTILINE
)
_ENGINE = re.compile(
    rb"/(?:docker-|libpod-|crio-|cri-containerd-)?([0-9a-f]{64})(?:\.scope)?(?=/|$)"
)

#: How much later than its process a line may seem to be: both clocks go in steps of 10 ms.
_STEP = 0.02


def find(pid: int, logged: float | None = None) -> Owner | None:
    """Whose a process is; None for one of the node, and one that has gone.

    `logged`: when a line named it: one that began after that has only got its number.
    """
    ticks = containers.ticks(pid)
    if ticks is None or (logged is not None and _began(ticks) > logged + _STEP):
        return None
    try:
        groups = read(at(f"/proc/{pid}/cgroup")) or b""
    except OSError:
        return None
    found = _GROUP.search(groups)
    # it may have ended meanwhile, and another one got its number
    if found is None or containers.ticks(pid) != ticks:
        return None
    engine = _ENGINE.search(found[2] or b"")
    return int(found[1]), engine[1].decode("ascii") if engine else ""


def _began(ticks: int) -> float:
    """When, by the clock that the log has, too."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / 100
