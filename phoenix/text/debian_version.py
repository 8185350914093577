"""Versions as Debian compares them.

Source: deb-version(7), "Sorting algorithm"; dpkg, lib/dpkg/version.c. Tested against
`dpkg --compare-versions`.
"""

from __future__ import annotations

import re
from itertools import zip_longest

_EPOCH = re.compile(r"([0-9]+):(.*)", re.DOTALL)
_PART = re.compile(r"([^0-9]*)([0-9]*)")
# how a part ends
_END = ((0,), (0, ""))


def compare(left: str, right: str) -> int:
    """Below 0 where `left` is the earlier one, 0 where they are equal, above 0 else.

    Of any two texts, also such as dpkg would not take; without an epoch it is 0, without a
    revision it is empty, which is the same as 0.

    >>> compare("1:1.0", "2.0"), compare("1.4.0~rc.3", "1.4.0") < 0, compare("1.0-0", "1.0")
    (1, True, 0)
    """
    first, second = _split(left), _split(right)
    if first[0] != second[0]:
        return 1 if first[0] > second[0] else -1
    return _compare(first[1], second[1]) or _compare(first[2], second[2])


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another one."""
    return compare(version, than) < 0


def _split(version: str) -> tuple[tuple[int, str], str, str]:
    """Epoch, upstream version and Debian's revision."""
    found = _EPOCH.fullmatch(version)
    epoch, rest = (_number(found[1]), found[2]) if found else (_number(""), version)
    upstream, hyphen, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if hyphen else (epoch, rest, "")


def _compare(left: str, right: str) -> int:
    for one, other in zip_longest(_parts(left), _parts(right), fillvalue=_END):
        if one != other:
            return 1 if one > other else -1
    return 0


def _parts(text: str) -> list[tuple[tuple[int, ...], tuple[int, str]]]:
    """What is no digit, and the number behind it, as often as there are both."""
    return [((*map(_order, before), 0), _number(digits)) for before, digits in _PART.findall(text)]


def _number(digits: str) -> tuple[int, str]:
    """A number of any length, to be compared; none is 0."""
    plain = digits.lstrip("0")
    return len(plain), plain


def _order(char: str) -> int:
    """A tilde before everything, even the end (0); letters before all the rest."""
    if char == "~":
        return -1
    return ord(char) if char.isascii() and char.isalpha() else ord(char) + 256
