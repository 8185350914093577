"""What AppArmor refused to one container since a moment: it explains a commit that failed.

audit.log is complete, the kernel's ring buffer is not. A container may provoke what it likes here:
the last few lines are told, each for a screen.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from node.denials import of_kernel
from node.files import open_regular, read
from node.root import at
from node.say import Stop
from phoenix.audit_line import LONGEST, refusal
from phoenix.printable import LONGEST_LINE, printable

#: So many lines are told.
MOST = 10


def since(profile: str, began: int, ctid: int) -> list[str]:
    """The last lines about this profile, and about lxc-start: it enters profiles for containers.

    A line names the profile, which others may carry: one whose process is there still, in another
    container, is not of this one.
    """
    names = (f'profile="{profile}"', 'profile="/usr/bin/lxc-start"')
    last: deque[str] = deque(maxlen=MOST)
    # a log that cannot be read explains nothing, and stops nobody
    with suppress(OSError, Stop):
        for line in _lines(began):
            found = refusal(line)
            if found is None or found[0] < began or not found[1].startswith('apparmor="DENIED"'):
                continue
            if any(name in found[1] for name in names) and not _is_of_another(line, ctid):
                last.append(printable(found[1], LONGEST_LINE))
    return list(last)


def _is_of_another(line: str, ctid: int) -> bool:
    pid = re.search(r" pid=([0-9]{1,10}) ", line)
    try:
        groups = read(at(f"/proc/{pid[1]}/cgroup")) if pid else None
    except OSError:
        return False
    # as the node sees it: 0::/lxc/910/ns/init.scope
    owner = re.search(rb":/lxc(?:\.payload)?[./]([1-9][0-9]*)/", groups or b"")
    return owner is not None and int(owner[1]) != ctid


def _lines(began: int) -> Iterator[str]:
    log = open_regular(at("/var/log/audit/audit.log"))
    if log is None:
        yield from of_kernel(began, patience=30)
        return
    with log:
        while line := log.readline(LONGEST):
            yield line.decode("utf-8", "replace")
