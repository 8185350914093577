"""Bars over time as one SVG path each: a few hundred of them make no heavy page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: From one bar to the next, and how wide a bar is, in units of the picture.
STEP, BAR = 8, 6


def series(spreads: Iterable[Iterable[Sequence[int]]], buckets: int) -> list[int]:
    """How many lines there are in each bucket, all spreads (bucket, lines) together.

    >>> series([[(0, 2), (2, 1)], [(2, 4)]], 3)
    [2, 0, 5]
    """
    counts = [0] * buckets
    for spread in spreads:
        for bucket, lines in spread:
            if 0 <= bucket < buckets:
                counts[bucket] += lines
    return counts


def bars(counts: Sequence[int], height: int, most: int, below: Sequence[int] = ()) -> str:
    """The path of these bars, `most` of which fill the height; each stands on what is `below`.

    A bar is never lower than one unit: a single line among thousands is still seen.

    >>> bars([2, 0, 1], 10, 2)
    'M0 10v-10h6v10zM16 10v-5h6v5z'
    """
    drawn = []
    for place, count in enumerate(counts):
        if count:
            foot = height - (round(height * below[place] / most) if below else 0)
            tall = max(1, round(height * count / most))
            drawn.append(f"M{place * STEP} {foot}v-{tall}h{BAR}v{tall}z")
    return "".join(drawn)
