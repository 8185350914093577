"""Things of one kind told together, where there are too many to be read one by one.

Of one kind is what says the same of several containers, their own CTIDs and names aside. Up to
`FEW` are told one by one, and everything is where the operator asks for it (pyinfra's `-v`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from phoenix.plan.findings import Finding
from phoenix.text.some import NAMED, some

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

#: So many are told one by one.
FEW = 10

#: Where all of it is.
ALL = "pyinfra's -v shows all of it, --data plan=FILE has it"


def finding_lines(findings: Iterable[Finding], everything: bool = False) -> Iterator[str]:
    """Findings as lines: in their order, or what is too much of one code together, once."""
    findings = [*findings]
    by_code = grouped(findings, lambda one: one.code)
    if everything or all(len(its) <= FEW for its in by_code.values()):
        yield from map(str, findings)
        return
    for code, its in by_code.items():
        lines = [line for same in grouped(its, _kind).values() for line in _lines_of(same)]
        yield from few(lines, f"more of this kind ({code})")


def _kind(one: Finding) -> Hashable:
    return one.severity, one.ctid is None, alike(one.text, one.ctid, one.name)


def _lines_of(same: Sequence[Finding]) -> Iterator[str]:
    """The lines of findings of one kind."""
    first = same[0]
    if len(same) <= FEW or first.ctid is None:
        yield from map(str, same)
    else:
        text = alike(first.text, first.ctid, first.name)
        yield f"{len(same)} containers: {text}: {numbers(one.ctid for one in same)}"


def few(lines: Sequence[str], more: str) -> Iterator[str]:
    """Lines, or the first of them where they are many, and how many there are more."""
    shown = lines if len(lines) <= FEW else lines[:NAMED]
    yield from shown
    if len(lines) > len(shown):
        yield f"… and {len(lines) - len(shown)} {more}"


def numbers(ctids: Iterable[int | None]) -> str:
    """Containers by their numbers, some of them where they are many.

    >>> numbers(range(910, 920))
    'CT 910, 911, 912, 913, 914 … and 5 more'
    """
    return f"CT {some([*map(str, ctids)])}"


def alike(text: str, ctid: int | None, name: str = "") -> str:
    """What a text says but for whose it is.

    >>> alike("CT 910 web: lxc-910 is missing", 910, "web")
    'CT CTID NAME: lxc-CTID is missing'
    """
    own = {word: what for word, what in ((name, "NAME"), (str(ctid or ""), "CTID")) if word}
    if not own:
        return text
    words = "|".join(map(re.escape, own))
    return re.sub(rf"(?<![0-9A-Za-z])(?:{words})(?![0-9A-Za-z])", lambda one: own[one[0]], text)


def grouped(things: Iterable[T], kind: Callable[[T], K]) -> dict[K, list[T]]:
    """Things by their kinds, each in its order."""
    found: dict[K, list[T]] = {}
    for one in things:
        found.setdefault(kind(one), []).append(one)
    return found
