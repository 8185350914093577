"""What became of a container, as the node says it in the last line of a verb.

Packed into the node's program: Python 3.9, the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Ending(str, Enum):
    """How a verb ended for a container."""

    #: The new state is there and proven.
    DONE = "done"
    #: The new state was not proven; the old one is back, and that is.
    RESTORED = "restored"
    #: Nothing was changed.
    REFUSED = "refused"
    #: It is not known to be well: somebody has to look.
    FAILED = "failed"
    #: Nothing was changed: somebody changed what this was planned on.
    CHANGED = "changed"
    #: Packages came in.
    INSTALLED = "installed"
    #: Packages went.
    REMOVED = "removed"
    #: Packages stay, for something needs them.
    KEPT = "kept"


#: The exit code of `commit` and `recover` for each of their endings.
EXIT = {
    Ending.DONE: 0,
    Ending.RESTORED: 1,
    Ending.REFUSED: 2,
    Ending.FAILED: 3,
    Ending.CHANGED: 4,
}


@dataclass(frozen=True)
class Outcome:
    """An ending, and what there is to say of it.

    >>> str(Outcome(Ending.RESTORED, "the old conf is back"))
    'restored: the old conf is back'
    """

    ending: Ending
    text: str = ""

    def __str__(self) -> str:
        return f"{self.ending.value}: {self.text}" if self.text else self.ending.value

    def line(self, ctid: int) -> str:
        """The last line of a verb about this container."""
        return f"CT {ctid}: {self}"


def read_outcome(ctid: int, lines: Sequence[str]) -> Outcome | None:
    """The outcome that a verb's last line tells, None where it tells none.

    Only the last line counts: what a guest says stands before it.

    >>> read_outcome(910, ["CT 910: ok restarts (16 s)", "CT 910: done"])
    Outcome(ending=<Ending.DONE: 'done'>, text='')
    """
    found = _LINE.fullmatch(lines[-1]) if lines else None
    if found is None or int(found["ctid"]) != ctid:
        return None
    return _outcome(found)


def read_outcomes(lines: Sequence[str]) -> dict[int, Outcome]:
    """What a verb says of each container, where it does several of which no guest says anything.

    >>> told = read_outcomes(["CT 910: waits for run r0", "CT 910: done", "CT 952: refused: why"])
    >>> {ctid: str(outcome) for ctid, outcome in told.items()}
    {910: 'done', 952: 'refused: why'}
    """
    found = (_LINE.fullmatch(line) for line in lines)
    return {int(one["ctid"]): _outcome(one) for one in found if one}


def _outcome(found: re.Match[str]) -> Outcome:
    return Outcome(Ending(found["ending"]), found["text"] or "")


_LINE = re.compile(
    rf"CT (?P<ctid>[1-9][0-9]{{2,8}}): (?P<ending>{'|'.join(one.value for one in Ending)})"
    r"(?:: (?P<text>.*))?"
)
