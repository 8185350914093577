"""Counting what containers were refused: equal lines together, in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from math import floor

from node.shares import Shares
from phoenix.apparmor.audit_line import Refusal, folder_of, is_logged, refusal, whose

#: Of one profile so many kinds are kept, of all together four times as many; of what rules with
#: `audit` log a tenth of that, and as many folders.
MOST_KINDS = 500

#: Each kind is told apart before and after so many starts of containers, the last ones.
MOST_STARTS = 20

#: Characters of all texts that are told.
_MOST_TOLD = 4 * 1024 * 1024

#: How many buckets of time there are at most, and how long one may be, in seconds; from a day on
#: it is any number of days.
MOST_BUCKETS = 48
_DAY = 86400
_WIDTHS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)


@dataclass(frozen=True)
class Buckets:
    """Bucket N begins at `begin` + N * `width`, in seconds since the epoch."""

    begin: int
    width: int

    def of(self, time: float) -> int:
        """The bucket of a time; what lies outside is in the first or the last."""
        return min(max(0, int(time - self.begin) // self.width), MOST_BUCKETS - 1)


def buckets(first: float, last: float) -> Buckets:
    """The shortest buckets for all that lies between two times.

    >>> buckets(1795304458, 1795311658)
    Buckets(begin=1795304400, width=300)
    """
    widths = chain(_WIDTHS, count(_DAY, _DAY))
    width = next(one for one in widths if last // one - first // one < MOST_BUCKETS)
    return Buckets(floor(first // width * width), width)


class Seen:
    """Equal lines between two starts: how many, from when to when, in which buckets; `pid`: the
    process of the last one.
    """

    __slots__ = ("count", "first", "last", "pid", "spread")

    def __init__(self, time: float) -> None:
        self.count, self.first, self.last, self.pid = 0, time, time, 0
        self.spread: dict[int, int] = {}

    def add(self, one: Refusal, bucket: int) -> None:
        """Count one more."""
        self.count += 1
        self.spread[bucket] = self.spread.get(bucket, 0) + 1
        self.first = min(self.first, one.time)
        if one.time >= self.last:
            self.last, self.pid = one.time, one.pid

    def merge(self, other: Seen) -> None:
        """Count all of another, which is of no one process any more."""
        self.count += other.count
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.pid = 0
        for bucket, times in other.spread.items():
            self.spread[bucket] = self.spread.get(bucket, 0) + times


@dataclass(frozen=True)
class Counted:
    """`denials`: each kind between two starts, those seen longest ago first; `floods`: lines of a
    profile that are not among them.
    """

    denials: tuple[tuple[str, Seen], ...] = ()
    floods: tuple[tuple[str, Seen], ...] = ()

    @property
    def left(self) -> int:
        """How many lines are not among the denials."""
        return sum(seen.count for _, seen in self.floods)


def tally(
    lines: Iterable[str], since: Sequence[float], into: Buckets, kinds: int = MOST_KINDS
) -> Counted:
    """Count equal refusals of containers, and what rules with `audit` log.

    `since`: times, ascending. What is older than the first is passed over, what lies before and
    after each further one is counted apart, but is one kind. `kinds`: as `MOST_KINDS`; of further
    ones the newest are kept, and those that came again. Of what is logged the others are told by
    their folders: writing many files hides neither a refusal nor what is written elsewhere.
    """
    found = _Tally(since, into, kinds)
    if since:
        for line in lines:
            one = refusal(line)
            if one is not None and one.time >= since[0]:
                found.add(one)
    return found.counted()


#: A kind: what was seen of it after so many of the starts.
_Kind = dict[int, Seen]


class _Tally:
    def __init__(self, since: Sequence[float], into: Buckets, kinds: int) -> None:
        self.since, self.buckets = since, into
        few = max(1, kinds // 10)
        self.refused: Shares[_Kind] = Shares(4 * kinds, kinds)
        self.logged: Shares[_Kind] = Shares(4 * few, few)
        self.folders: Shares[_Kind] = Shares(4 * few, few)
        self.floods: dict[str, Seen] = {}

    def add(self, one: Refusal) -> None:
        profile = whose(one.text)
        shares = self.logged if is_logged(one.text) else self.refused
        kind = shares.find(profile, one.text)
        if kind is None:
            kind = {}
            for gone in shares.add(profile, one.text, kind):
                self._cut(*gone)
        part = bisect_right(self.since, one.time)
        self._part(profile, kind, part, one.time).add(one, self.buckets.of(one.time))

    def _part(self, profile: str, kind: _Kind, part: int, time: float) -> Seen:
        seen = kind.get(part)
        if seen is None:
            if len(kind) == MOST_STARTS:
                self._flood(profile, kind.pop(min(kind)))
            seen = kind[part] = Seen(time)
        return seen

    def _cut(self, profile: str, text: str, kind: _Kind) -> None:
        """A kind has no room any more: what is logged becomes one with its folder."""
        if not is_logged(text):
            for seen in kind.values():
                self._flood(profile, seen)
            return
        folder = self.folders.find(profile, folder_of(text))
        if folder is None:
            folder = {}
            for other, _, gone in self.folders.add(profile, folder_of(text), folder):
                for seen in gone.values():
                    self._flood(other, seen)
        for part, seen in kind.items():
            self._part(profile, folder, part, seen.first).merge(seen)

    def _flood(self, profile: str, seen: Seen) -> None:
        self.floods.setdefault(profile, Seen(seen.last)).merge(seen)

    def counted(self) -> Counted:
        """The newest, as much as is told; the others are floods."""
        room, told = _MOST_TOLD, []
        for profile, text, seen in sorted(self._all(), key=lambda one: -one[2].last):
            room -= len(text)
            if room < 0:
                self._flood(profile, seen)
            else:
                told.append((text, seen))
        return Counted(tuple(reversed(told)), tuple(sorted(self.floods.items())))

    def _all(self) -> Iterator[tuple[str, str, Seen]]:
        for shares in (self.folders, self.logged, self.refused):
            for profile, text, kind in shares.all():
                yield from ((profile, text, seen) for seen in kind.values())
