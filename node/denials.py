"""What AppArmor refused to containers, equal refusals counted here: a log may be long."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from node import containers
from node.bounded import run
from node.files import open_regular
from node.root import at, environment
from node.say import Stop
from phoenix.apparmor.audit_line import LONGEST, count, read_time

#: Refusals of more kinds than this are only counted.
MOST_KINDS = 500
#: Seconds that the kernel's own log may take.
_PATIENCE = 600

_FOLDER = "/var/log/audit"


def observe(since: list[int] | None, only: list[int]) -> dict[str, Any]:
    """The refusals since some time, equal ones counted together.

    `since`: seconds since the epoch, or before now, as -7200; null: from the starts of the
    containers that run, of those in `only` if there are any. Before and after each container's
    start is counted apart.

    - `source`: `audit.log`, `kernel log`, or "" where no container runs
    - `begins`: the log's first time, if that is after the first of `since`
    - `denials`: count, last time, line · `left`: lines of further kinds than 500
    """
    times = _times(since, only)
    if not times:
        return {"source": "", "begins": None, "left": 0, "denials": []}
    logs = _logs()
    if logs and _is_auditd_active():
        source, lines = "audit.log", _of_files(logs, times[0])
        first = _first_time(logs[0][1])
    else:
        source, lines, first = "kernel log", of_kernel(times[0]), 0.0
    counted = count(lines, times, MOST_KINDS)
    return {
        "source": source,
        "begins": first if first > times[0] else None,
        "left": counted.left,
        "denials": counted.denials,
    }


def _times(since: list[int] | None, only: list[int]) -> list[int]:
    """From when on to look, and the later starts of all containers.

    Several may carry one profile, which is all that a line names: what was refused before one of
    them was started was refused to another.
    """
    found = containers.observe()["containers"]
    starts = {int(ctid): one["started"] for ctid, one in found.items() if one["started"]}
    if since is None:
        asked = [start for ctid, start in starts.items() if not only or ctid in only]
    else:
        asked = [int(time.time()) + since[0]] if since and since[0] < 0 else since
    return sorted({*asked, *(start for start in starts.values() if asked and start > min(asked))})


def _is_auditd_active() -> bool:
    # an old audit.log stays behind where auditd is gone: the kernel then logs by itself
    return run(["systemctl", "-q", "is-active", "auditd"]).ok


def _logs() -> list[tuple[float, str]]:
    """auditd's own files, with when they were last written, the oldest first.

    Compressed ones are not read. None at all without the present one, or while that is empty.
    """
    try:
        names = [name for name in os.listdir(at(_FOLDER)) if _is_log(name)]
    except OSError:
        return []
    found = []
    for path in (at(f"{_FOLDER}/{name}") for name in names):
        with suppress(FileNotFoundError):
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode) and about.st_size:
                found.append((about.st_mtime, path))
    present = at(f"{_FOLDER}/audit.log")
    return sorted(found) if any(path == present for _, path in found) else []


def _is_log(name: str) -> bool:
    return name.startswith("audit.log") and "z" not in name


def _of_files(logs: list[tuple[float, str]], since: float) -> Iterator[str]:
    for written, path in logs:
        # what was last written before has nothing of interest
        if written > since and (file := open_regular(path)):
            with file:
                yield from _lines(file)


def of_kernel(since: float, patience: float = _PATIENCE) -> Iterator[str]:
    """The lines of the kernel's own log. Raises Stop where it comes to no end."""
    asked = ["journalctl", "-q", "-o", "cat", "_TRANSPORT=kernel", "--since", f"@{since}"]
    try:
        process = subprocess.Popen(
            asked,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return
    given_up = threading.Event()

    def give_up() -> None:
        given_up.set()
        process.kill()

    watch = threading.Timer(patience, give_up)
    watch.start()
    try:
        if process.stdout is not None:
            yield from _lines(process.stdout)
    finally:
        watch.cancel()
        process.kill()
        process.wait()
    if given_up.is_set():
        raise Stop(1, f"journalctl came to no end in {patience:.0f} s: give a later since=")


def _lines(file: IO[bytes]) -> Iterator[str]:
    """Its lines, one in memory at a time; those that are longer than any of the kernel's are not
    of interest, whoever wrote them.
    """
    goes_on = False
    while piece := file.readline(LONGEST):
        is_end = piece.endswith(b"\n") or len(piece) < LONGEST
        if is_end and not goes_on:
            yield piece.decode("utf-8", "replace")
        goes_on = not is_end


def _first_time(path: str) -> float:
    file = open_regular(path)
    if file is None:
        return 0.0
    with file:
        return read_time(file.readline(LONGEST).decode("utf-8", "replace")) // 1
