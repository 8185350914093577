"""Where a run is: one line that moves, for who watches it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from phoenix.text.printable import printable

#: What a line says of the time that is left is no more exact than this, in seconds.
_MINUTE = 60


@dataclass(frozen=True)
class Place:
    """Which one of those it is that take their turns one after another; the first is 1."""

    number: int
    of: int

    def after(self, name: str) -> str:
        """A name with its place; alone it has none to speak of."""
        return f"{name} ({self.number} of {self.of})" if self.of > 1 else name


def moving_line(
    name: str, seconds: float, width: int, place: Place | None = None, took: Sequence[float] = ()
) -> str:
    """What is being done, since when, and how long the rest may take, within `width` columns.

    `took`: seconds that those before it took, each with its turn: what is usual here. Without
    them, and without a `place`, nothing is said of the rest.
    """
    line = f"{name}: {_clock(seconds)}"
    if place and took:
        usual = fmean(took)
        left = max(usual - seconds, 0) + usual * (place.of - place.number)
        line += f", usually {_clock(usual)}, {_roughly(left)} to go"
    return printable(f"    {line}", None)[:width]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def _roughly(seconds: float) -> str:
    minutes = round(seconds / _MINUTE)
    return f"about {minutes} min" if minutes else "less than a minute"
