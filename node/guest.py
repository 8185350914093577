"""The one place that reaches into a guest. The guest is the attacker.

It is given three pipes and nothing else: no terminal, no descriptor, no variable of ours. It has
until the deadline and up to the limit, whatever its children hold open. What it leaves behind of
ours is ended. What it says is bytes: whoever uses them parses them by a closed form.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pkgutil import get_data

from node.bounded import MIB, SIZE, TIME, Ended, run
from node.containers import cgroups
from node.root import PATH, at
from phoenix.text.printable import printable, printable_lines

#: How a command ends that is not there, or cannot be run (lxc, src/lxc/attach.c).
NO_SHELL = (126, 127)

#: What is looked at of what may be without end: groups, bytes of a list of processes, their
#: parents; and what is done about it: processes at a time, seconds.
_GROUPS, _LIST, _PARENTS, _BATCH, _PATIENCE = 20_000, 65536, 64, 64, 5


def script(name: str) -> str:
    """The text of one of the scripts that run inside guests: plain sh, busybox is enough."""
    data = get_data("node", f"data/{name}.sh")
    if data is None:
        raise FileNotFoundError(name)
    return data.decode("ascii")


def attach(
    ctid: int,
    argv: Sequence[str],
    data: bytes = b"",
    seconds: float = 60,
    limit: int = MIB,
    merge: bool = False,
    variables: Mapping[str, str] = {},
    services: bool = False,
) -> Ended:
    """Run a command in a running container. Raises nothing.

    `argv` reaches the guest's exec as it is; `variables`: more of its environment; `services`: it
    may start some, which stay where the guest's init is not the one that starts them; the rest is
    as in `node.bounded.run`.
    """
    there = set(_attached(ctid))
    by_init = _starts_its_services(ctid)
    settings = {"PATH": PATH, "LC_ALL": "C", **variables}
    words = [f"--set-var={name}={value}" for name, value in settings.items()]
    call = ["lxc-attach", "-n", f"{ctid:d}", "--clear-env", *words, "--", *argv]
    try:
        return run(call, data, seconds, limit, merge, ends_group=by_init or not services)
    finally:
        if by_init or not (services or _has_services(there)):
            _end_what_stayed(ctid, there)


def last_line(ended: Ended) -> str:
    """Why a command in a guest failed: how it ended, or the last that it said, printable."""
    if ended.why == TIME:
        return "gave no answer in time"
    if ended.why == SIZE:
        return "said more than it should"
    said = (ended.err.strip() or ended.out.strip())[-4096:].decode("utf-8", "replace")
    line = "".join(printable_lines(said, 1))
    return printable(line, limit=200) or f"exit {ended.code}"


def last_lines(ended: Ended, lines: int) -> list[str]:
    """The last that a command in a guest printed, in printable lines."""
    return printable_lines(ended.out[-65536:].decode("utf-8", "replace"), lines)


# --- what came in with us and has not gone ----------------------------------------------------


def _attached(ctid: int) -> Iterator[int]:
    """The processes that were put into the container from outside (lxc, cgroup_attach_leaf)."""
    for above in cgroups(ctid):
        # however many others the guest has put beside it
        yield from _processes(f"{above}/.lxc")
        with suppress(OSError), os.scandir(above) as entries:
            for entry in islice(entries, _GROUPS):
                if re.fullmatch(r"\.lxc-[0-9]+", entry.name):
                    yield from _processes(entry.path)


def _processes(group: str) -> Iterator[int]:
    # a group that the guest has made a threaded one cannot be read
    with suppress(OSError), open(f"{group}/cgroup.procs", "rb") as procs:
        yield from map(int, re.findall(rb"^([0-9]+)\n", procs.read(_LIST), re.MULTILINE))


def _starts_its_services(ctid: int) -> bool:
    """Whether the guest's init does that, as systemd does, in groups of their own."""
    return any(os.path.isdir(f"{above}/init.scope") for above in cgroups(ctid))


def _has_services(there: Iterable[int]) -> bool:
    """Whether a daemon is among them, as `rc-service docker restart` by hand leaves one.

    What it starts, a shim of Docker's say, may leave it for the guest's init: then it cannot be
    told from what we have started.
    """
    return any(_is_anothers(pid) is False for pid in there)


def _end_what_stayed(ctid: int, there: set[int]) -> None:
    """End what is new; somebody's own `pct enter` goes on, and so does what was there before."""
    deadline, known = time.monotonic() + _PATIENCE, set(there)
    while time.monotonic() < deadline:
        stayed, gone = [], []
        for pid in set(_attached(ctid)) - known:
            anothers = _is_anothers(pid, there)
            gone += [pid] if anothers is None else []
            stayed += [pid] if anothers is False else []
            if len(stayed) == _BATCH:
                break
        # again, as long as those that we end have started others, and where one has gone before
        # we could see whose it was: it may have left another
        if not stayed and not gone:
            return
        _kill(ctid, stayed)
        known.update(stayed, gone)


def _kill(ctid: int, pids: Iterable[int]) -> None:
    handles = {}
    for pid in pids:
        with suppress(OSError):
            handles[pid] = os.pidfd_open(pid)
    # a number that is there still is that of the process whose handle we have
    there = set(_attached(ctid))
    for pid, handle in handles.items():
        with suppress(OSError):
            if pid in there:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def _is_anothers(pid: int, there: Collection[int] = ()) -> bool | None:
    """Whether an lxc-attach of the node waits for it, near or far, or one of `there` started it.

    None where it has just gone.
    """
    first = pid
    for _ in range(_PARENTS):
        if pid in there:
            return True
        found = _numbers_and_parent(pid)
        if found is None and pid == first:
            return None
        if found is None:
            # it has another parent now
            pid = first
            continue
        numbers, parent = found
        if not numbers:
            return False
        if len(numbers) == 1:
            # a process of the node; its own init has taken over what nobody waits for
            return pid > 1
        if numbers[1:] == [b"1"]:
            # the container's init has
            return False
        pid = parent
    return False


def _numbers_and_parent(pid: int) -> tuple[list[bytes], int] | None:
    """Its numbers, from the node's pid namespace inwards, and its parent; None if it has gone.

    A process chooses its name, which is a line of this file; the kernel escapes newlines in it. And
    it chooses how many groups it is in, which stand before its numbers: with too many it has none.
    """
    try:
        with open(at(f"/proc/{pid}/status"), "rb") as file:
            status = file.read(MIB)
    except OSError:
        return None
    numbers = re.search(rb"^NSpid:((?:\t[0-9]+)+)\n", status, re.MULTILINE)
    parent = re.search(rb"^PPid:\t([0-9]+)\n", status, re.MULTILINE)
    return (numbers[1].split(), int(parent[1])) if numbers and parent else ([], 0)
