"""What AppArmor refused to one container since a moment: it explains a commit that failed.

audit.log is complete, the kernel's ring buffer is not. A container may provoke what it likes here:
a few kinds are told, each for a screen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from node.denials import of_kernel
from node.files import open_regular, read
from node.root import at
from node.say import Stop
from phoenix.apparmor.audit_line import LONGEST, REFUSED, refusal
from phoenix.text.printable import LONGEST_LINE, printable

#: So many kinds are told, the last ones among them; so many are told apart.
MOST, _LAST, _APART = 10, 3, 500
# what differs each time: ids of containers and layers, names of temporary files, numbers
_VARYING = re.compile(r"[0-9a-f]{64}|[0-9]{6,}|(?<=namespace-)\w{6}")


def since(profile: str, began: int, ctid: int) -> list[str]:
    """What was refused under this profile, and to lxc-start: it enters profiles for containers.

    Equal refusals are one line with their number: the most frequent first, then the last ones. A
    line names the profile, which others may carry: one whose process is there still, in another
    container, is not of this one.
    """
    names = (f'profile="{profile}"', 'profile="/usr/bin/lxc-start"')
    kinds: Counter[str] = Counter()
    lines: dict[str, int] = {}
    # a log that cannot be read explains nothing, and stops nobody
    with suppress(OSError, Stop):
        for number, line in enumerate(_lines(began)):
            found = refusal(line)
            if found is None or found[0] < began or not found[1].startswith(REFUSED):
                continue
            if not any(name in found[1] for name in names) or _is_of_another(line, ctid):
                continue
            kind = _VARYING.sub("*", found[1])
            if kind in kinds or len(kinds) < _APART:
                kinds[kind] += 1
                lines[kind] = number
    last = sorted(lines, key=lambda kind: lines[kind])[-_LAST:]
    often = [kind for kind, _ in kinds.most_common() if kind not in last][: MOST - len(last)]
    told = [f"{kinds[kind]}x {kind}" if kinds[kind] > 1 else kind for kind in (*often, *last)]
    if len(kinds) > len(told):
        told.append(f"and at least {len(kinds) - len(told)} other kinds")
    return [printable(text, LONGEST_LINE) for text in told]


def _is_of_another(line: str, ctid: int) -> bool:
    # of a message on the bus, the bus itself stands in front
    pid = re.search(r" pid=([0-9]{1,10}) ", line[line.find('apparmor="') :])
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
