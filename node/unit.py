"""The transient unit that we run in: whether something in it goes on, and what is left in it."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress

from node.files import read
from node.root import at

#: How a unit of ours is named (`operations.unit`).
_OURS = re.compile(r"0::(/(?:[^/\n]+/)*phoenix-harden-[^/\n]+\.service)")


def busy() -> int:
    """Seconds of CPU that all in our unit have taken so far: it grows while anything works there.

    0 where that is not known.
    """
    group = _group()
    said = _read(f"/sys/fs/cgroup{group}/cpu.stat") if group else b""
    found = re.search(rb"^usage_usec ([0-9]+)$", said, re.MULTILINE)
    return int(found[1]) // 1_000_000 if found else 0


def end_others() -> None:
    """End all in our unit but ourselves: a worker of `pct` has a session of its own.

    (pve-common RESTEnvironment.pm, `fork_worker`). Nothing where we are in no unit of ours.
    """
    group = _group()
    procs = _read(f"/sys/fs/cgroup{group}/cgroup.procs") if group else b""
    for pid in map(int, procs.split()):
        if pid not in (0, os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _group() -> str:
    found = _OURS.search(_read("/proc/self/cgroup").decode("utf-8", "replace"))
    return found[1] if found else ""


def _read(path: str) -> bytes:
    with suppress(OSError):
        return read(at(path)) or b""
    return b""
