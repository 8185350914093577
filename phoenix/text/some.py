"""Long lists in a sentence: some of them, and how many there are more."""

from __future__ import annotations

from collections.abc import Sequence

#: So many are named where there are too many to be read.
NAMED = 5


def some(words: Sequence[str], most: int = NAMED, separator: str = ", ") -> str:
    """All of them, or the first of more than `most`.

    >>> some(["910", "911"])
    '910, 911'
    >>> some([*map(str, range(910, 920))])
    '910, 911, 912, 913, 914 … and 5 more'
    """
    more = f" … and {len(words) - most} more" if len(words) > most else ""
    return f"{separator.join(words[:most])}{more}"
