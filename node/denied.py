"""What AppArmor refused to one container since a moment: it explains a commit that failed.

Of the logs the most complete one counts (`node.log_source`). A container may provoke what it likes
here: a few kinds are told, each for a screen.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from node import log_journal, log_source, owner
from node.log_tail import FileTail
from node.say import Stop
from phoenix.apparmor.audit_line import REFUSED, Refusal, refusal, whose
from phoenix.text.printable import LONGEST_LINE, printable

#: So many kinds are told, the last ones among them; so many are told apart.
MOST, _LAST, _APART = 10, 3, 500
# what differs each time: ids of containers and layers, names of temporary files, numbers
_VARYING = re.compile(r"[0-9a-f]{64}|[0-9]{6,}|(?<=namespace-)\w{6}")

#: Seconds for reading what has come: whoever writes it may go on.
_PATIENCE = 30


class Denied:
    """What is refused from now on: of the log only what comes from here on is read."""

    def __init__(self) -> None:
        self._began = int(time.time())
        self._tail: FileTail | None = None
        # a log that cannot be read explains nothing, and stops nobody
        with suppress(OSError):
            self._tail = FileTail(at_end=True)

    def close(self) -> None:
        """Let go of the log."""
        if self._tail is not None:
            self._tail.close()

    def told(self, profile: str, ctid: int) -> list[str]:
        """What has come under this profile, or a child of it, and to lxc-start: it enters profiles
        for containers.

        Equal refusals are one line with their number: the most frequent first, then the last ones.
        A line names the profile, which others may carry: one whose process is there still, in
        another container, is not of this one.
        """
        names = (profile, "/usr/bin/lxc-start")
        kinds: Counter[str] = Counter()
        lines: dict[str, int] = {}
        with suppress(OSError, Stop):
            for number, found in enumerate(self._refusals()):
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

    def _refusals(self) -> Iterator[Refusal]:
        newest = (0.0, 0)
        its: set[str] = set()
        deadline = time.monotonic() + _PATIENCE
        for line, is_again in self._lines():
            if time.monotonic() > deadline:
                return
            found = refusal(line)
            if found is None or found.time < self._began or not found.text.startswith(REFUSED):
                continue
            mark = (found.time, found.serial)
            # one event may have several
            if mark > newest:
                newest, its = mark, set()
            # a log that was rotated meanwhile may be read twice
            elif is_again and (mark < newest or found.text in its):
                continue
            if mark == newest:
                its.add(found.text)
            yield found

    def _lines(self) -> Iterator[tuple[str, bool]]:
        """The lines of the log, and whether what comes may have come before."""
        # an old audit.log explains nothing where auditd is gone
        transport = log_source.TRANSPORTS.get(log_source.choose())
        if transport is None and self._tail is not None:
            for line in self._tail.read(self._began):
                yield line, self._tail.is_again
        else:
            kept = log_journal.lines(
                transport or log_journal.KERNEL, self._began, patience=_PATIENCE
            )
            for line in kept:
                yield line, False


def _is_of_another(found: Refusal, ctid: int) -> bool:
    its = owner.find(found.pid, found.time) if found.pid else None
    return its is not None and its[0] != ctid
