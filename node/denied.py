"""What AppArmor refused to one container since a moment: it explains a commit that failed.

Of the logs the most complete one counts (`node.log_source`). A container may provoke what it likes
here: a few kinds are told, each for a screen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from node import log_files, log_journal, log_source, owner
from node.say import Stop
from phoenix.apparmor.audit_line import REFUSED, Refusal, refusal, whose
from phoenix.text.printable import LONGEST_LINE, printable

#: So many kinds are told, the last ones among them; so many are told apart.
MOST, _LAST, _APART = 10, 3, 500
# what differs each time: ids of containers and layers, names of temporary files, numbers
_VARYING = re.compile(r"[0-9a-f]{64}|[0-9]{6,}|(?<=namespace-)\w{6}")


def since(profile: str, began: int, ctid: int) -> list[str]:
    """What was refused under this profile, or a child of it, and to lxc-start: it enters profiles
    for containers.

    Equal refusals are one line with their number: the most frequent first, then the last ones. A
    line names the profile, which others may carry: one whose process is there still, in another
    container, is not of this one.
    """
    names = (profile, "/usr/bin/lxc-start")
    kinds: Counter[str] = Counter()
    lines: dict[str, int] = {}
    # a log that cannot be read explains nothing, and stops nobody
    with suppress(OSError, Stop):
        for number, line in enumerate(_lines(began)):
            found = refusal(line)
            if found is None or found.time < began or not found.text.startswith(REFUSED):
                continue
            if whose(found.text) not in names or _is_of_another(found, ctid):
                continue
            kind = _VARYING.sub("*", found.text)
            if kind in kinds or len(kinds) < _APART:
                kinds[kind] += 1
                lines[kind] = number
    last = sorted(lines, key=lambda kind: lines[kind])[-_LAST:]
    often = [kind for kind, _ in kinds.most_common() if kind not in last][: MOST - len(last)]
    told = [f"{kinds[kind]}x {kind}" if kinds[kind] > 1 else kind for kind in (*often, *last)]
    if len(kinds) > len(told):
        told.append(f"and at least {len(kinds) - len(told)} other kinds")
    return [printable(text, LONGEST_LINE) for text in told]


def _is_of_another(found: Refusal, ctid: int) -> bool:
    its = owner.find(found.pid, found.time) if found.pid else None
    return its is not None and its[0] != ctid


def _lines(began: int) -> Iterator[str]:
    # an old audit.log explains nothing where auditd is gone
    if transport := log_source.TRANSPORTS.get(log_source.choose()):
        return log_journal.lines(transport, began, patience=30)
    return log_files.lines_of(log_files.written_since(log_files.find(), began), [])
