"""What is kept of each profile where there is no room for all: of every one the newest.

One that floods the log takes no room of another: who has most has to give way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

#: Further profiles than so many have one share together.
_MOST_SHARES = 1000


class Shares(Generic[T]):
    """Kinds by profile, each a text and what is known of it.

    `most`: so many are kept in all (and one of each profile); `each`: of one profile so many.
    Where all have more than `most` together, what one may have becomes less.
    """

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each, self._kept = most, each, 0
        self._shares: dict[str, _Share[T]] = {}

    def find(self, whose: str, text: str) -> T | None:
        """What is known of a kind, which becomes the newest by that."""
        return self._share(whose).find(text)

    def add(self, whose: str, text: str, known: T) -> list[tuple[str, str, T]]:
        """Keep a kind that is not there; gives those that had to go: profile, text, known."""
        mine = self._share(whose)
        mine.once[text] = known
        self._kept += 1
        gone = self._trimmed(whose, mine) if len(mine) > self._each else []
        while self._kept > self._most and self._each > 1:
            self._each = self._each * 9 // 10
            gone += [
                one for name, share in self._shares.items() for one in self._trimmed(name, share)
            ]
        return gone

    def all(self) -> Iterator[tuple[str, str, T]]:
        """All that is kept: profile, text, known."""
        for whose, share in self._shares.items():
            for text, known in (*share.often.items(), *share.once.items()):
                yield whose, text, known

    def _share(self, whose: str) -> _Share[T]:
        if whose not in self._shares and len(self._shares) >= _MOST_SHARES:
            whose = ""
        return self._shares.setdefault(whose, _Share())

    def _trimmed(self, whose: str, share: _Share[T]) -> list[tuple[str, str, T]]:
        gone = [(whose, *share.pop(self._each)) for _ in range(len(share) - self._each)]
        self._kept -= len(gone)
        return gone


class _Share(Generic[T]):
    """The kinds of one profile, those that were seen longest ago first."""

    def __init__(self) -> None:
        self.once: OrderedDict[str, T] = OrderedDict()
        self.often: OrderedDict[str, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self.once) + len(self.often)

    def find(self, text: str) -> T | None:
        if text in self.often:
            self.often.move_to_end(text)
        elif text in self.once:
            self.often[text] = self.once.pop(text)
        return self.often.get(text)

    def pop(self, room: int) -> tuple[str, T]:
        """Take out the oldest, of those that came once where that leaves half the room to them: a
        flood is of such, and must not wash out what comes again and again.
        """
        is_often = not self.once or len(self.often) > room // 2
        return (self.often if is_often else self.once).popitem(last=False)
