"""The events of `node follow`, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from phoenix.apparmor.denials import Denial, Owner, read_line
from phoenix.text.printable import LONGEST_LINE, printable


@dataclass(frozen=True)
class Source:
    """Where the node reads from now on: `audit.log`, `journal`, `kernel log`; what that lacks."""

    source: str = ""
    missing: str = ""


@dataclass(frozen=True)
class NewKind:
    """A kind of refusal that the node has not told in this connection.

    `text`: what it counts equal ones by; `sharing`: CTIDs of those that have the profile now,
    ascending.
    """

    text: str
    denial: Denial
    sharing: tuple[int, ...]


@dataclass(frozen=True)
class Again:
    """A kind that is told already: `count` of them by now, the last at `at` (since the epoch)."""

    text: str
    count: int
    at: float


@dataclass(frozen=True)
class MoreKinds:
    """`lines` of one profile by now that were too many kinds to tell apart, the last at `at`."""

    profile: str
    lines: int
    at: float


Event = Source | NewKind | Again | MoreKinds


def read_event(data: Mapping[str, Any]) -> Event | None:
    """Read an event; None for one without news. Raises ValueError for what no node of ours says."""
    try:
        return _read(data)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__} {error}") from None


def _read(data: Mapping[str, Any]) -> Event | None:
    kind = data["event"]
    if kind == "source":
        missing = printable(str(data["missing"] or ""), LONGEST_LINE)
        return Source(printable(str(data["source"])), missing)
    if kind == "denial":
        return _new_kind(data)
    if kind == "again":
        return Again(str(data["text"]), int(data["count"]), float(data["at"]))
    if kind == "flood":
        return MoreKinds(str(data["profile"]), int(data["lines"]), float(data["at"]))
    return None


def _new_kind(data: Mapping[str, Any]) -> NewKind | None:
    text, at = str(data["text"]), float(data["at"])
    sharing = tuple(sorted(int(ctid) for ctid in data["sharing"]))
    denial = read_line(text)
    if denial is None:
        return None
    denial = replace(denial, count=int(data["count"]), first=at, last=at)
    denial = replace(denial, pid=int(data["pid"] or 0), owner=_owner(data["owner"]))
    return NewKind(text, denial, sharing)


def _owner(told: Any) -> Owner | None:
    if told is None:
        return None
    ctid, engine_id, name = told
    return Owner(int(ctid), printable(str(engine_id)), printable(str(name)))
