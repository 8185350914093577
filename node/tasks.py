"""Tasks of Proxmox's own that are at work on a container, whoever has begun them."""

from __future__ import annotations

import re
from contextlib import suppress

from node.containers import ticks
from node.files import read, text
from node.root import at

#: pve-common RESTEnvironment.pm: `active_workers` keeps them here, as long as they run and a while
#: longer; Tools.pm, `upid_encode`: UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:
_ACTIVE = "/var/log/pve/tasks/active"
_LINE = re.compile(
    r"^UPID:[^:\s]+:([0-9A-F]{8}):([0-9A-F]{8,9}):[0-9A-F]{8}:([a-z]+):([0-9]+):", re.MULTILINE
)


def at_work(ctid: int) -> str:
    """The kind of a task that works on this container now (`vzcreate`), "" for none."""
    said = ""
    with suppress(OSError):
        said = text(read(at(_ACTIVE))) or ""
    for pid, began, kind, of in _LINE.findall(said):
        # what has ended may be in the list still: its number may be another process's by now
        if int(of) == ctid and ticks(int(pid, 16)) == int(began, 16):
            return str(kind)
    return ""
