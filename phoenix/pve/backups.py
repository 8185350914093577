"""A node's clock, its storages, and its containers' newest backups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class ObservedBackups:
    """A node's clock, the types of its storages, and where the newest backup of a container is.

    `newest`: CTID to time and storage; `problems`: storages that could not be asked.
    """

    now: datetime | None = None
    storages: Mapping[str, str] = field(default_factory=dict)
    newest: Mapping[int, tuple[datetime, str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def age(self, ctid: int) -> timedelta | None:
        """How old the newest backup of a container is, None without one."""
        if self.now is None or ctid not in self.newest:
            return None
        return self.now - self.newest[ctid][0]

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {
            "now": self.now and self.now.isoformat(),
            "storages": dict(self.storages),
            "newest": {ctid: [at.isoformat(), on] for ctid, (at, on) in self.newest.items()},
            "problems": list(self.problems),
        }


def backups_from_json(data: Mapping[str, Any]) -> ObservedBackups:
    """Read the section `backups` of the node's answer (`node.backups`).

    >>> seen = backups_from_json({"now": "2026-11-22T02:00:00Z", "storages": {"local": "dir"},
    ...     "backups": [[910, "2026-11-22T01:30:00Z", "local"]], "problems": []})
    >>> seen.age(910)
    datetime.timedelta(seconds=1800)
    """
    newest: dict[int, tuple[datetime, str]] = {}
    for ctid, time, storage in data["backups"]:
        found = (datetime.fromisoformat(time), storage)
        newest[ctid] = max(found, newest.get(ctid, found))
    now = datetime.fromisoformat(data["now"])
    return ObservedBackups(now, data["storages"], newest, tuple(data["problems"]))


def age_text(age: timedelta | None) -> str:
    """An age for a table: `40 min`, `7 h`, `3 d`, or `none`.

    >>> age_text(timedelta(hours=30)), age_text(timedelta(hours=50)), age_text(None)
    ('30 h', '2 d', 'none')
    """
    if age is None:
        return "none"
    if age < timedelta(hours=2):
        return f"{age // timedelta(minutes=1)} min"
    return f"{age // timedelta(hours=1)} h" if age.days < 2 else f"{age.days} d"
