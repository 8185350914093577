"""When auditd was stopped while the node ran, as its own log has it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from phoenix.apparmor.audit_line import read_time

# auditd writes both itself (auditd.c, DAEMON_START and DAEMON_END)
_DAEMON = re.compile(r"(?:node=\S+ )?type=DAEMON_(START|END) msg=audit\(")

#: A restart takes less, and the kernel keeps for auditd what comes meanwhile.
_RESTART = 10

# the last second that datetime knows
_LAST = 253402300799.0

#: So many gaps are told, the last ones.
_MOST = 3


def noting_gaps(lines: Iterable[str], since: float, problems: list[str]) -> Iterator[str]:
    """The same lines; at their end what may be missing is added to `problems`, in words.

    What lies before the node was booted is not told: it may have been off.
    """
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    gaps: list[str] = []
    ended = 0.0
    for line in lines:
        # a test that costs nothing for the many
        if "type=DAEMON_" in line[:300] and (found := _DAEMON.match(line)):
            at = read_time(line)
            if found[1] == "START" and ended > boot and at > since and at - ended > _RESTART:
                gaps = [*gaps, f"{_utc(ended)} to {_utc(at)}"][-_MOST:]
            ended = at if found[1] == "END" else 0.0
        yield line
    if gaps:
        problems.append(f"auditd was stopped from {', '.join(gaps)}: what came then may be missing")


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(min(seconds, _LAST), timezone.utc):%Y-%m-%d %H:%M:%SZ}"
