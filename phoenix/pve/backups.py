"""A node's clock, its storages, and the backups of its containers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Verification = Literal["ok", "failed", "none", ""]

_WORDS: Mapping[Verification, str] = {
    "ok": "verified",
    "failed": "failed its verification",
    "none": "not verified",
}


@dataclass(frozen=True)
class Backup:
    """A backup that is complete: when it was made, where it is.

    `verification`: what a Proxmox Backup Server says of it, "none" before the first time; "" where
    the storage knows nothing of that.
    """

    at: datetime
    storage: str
    verification: Verification = ""

    @property
    def state(self) -> str:
        """Its verification in words, "" where nothing is known of it."""
        return _WORDS.get(self.verification, "")


@dataclass(frozen=True)
class RequiredBackup:
    """What `require_backup` insists on: a backup of the last `hours` (None: of any time).

    `verified`: one that its storage has verified.
    """

    hours: int | None = None
    verified: bool = False


@dataclass(frozen=True)
class ObservedBackups:
    """A node's clock, the types of its storages, and the backups of each container on all of them.

    `backups`: by CTID, the newest first; `problems`: what could not be asked.
    """

    now: datetime | None = None
    storages: Mapping[str, str] = field(default_factory=dict)
    backups: Mapping[int, tuple[Backup, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def newest(self, ctid: int, verified: bool = False) -> Backup | None:
        """The newest one of a container that is good for a restore, None without any.

        One that failed its verification is not; `verified`: one that has not passed it neither.
        """
        good = ("ok",) if verified else ("ok", "none", "")
        its = self.backups.get(ctid, ())
        return next((one for one in its if one.verification in good), None)

    def age(self, backup: Backup | None) -> timedelta | None:
        """How old a backup is, None without one."""
        return self.now - backup.at if self.now and backup else None

    def text(self, ctid: int, verified: bool = False) -> str:
        """How old the newest good one is, for a table, and what is known of its verification."""
        found = self.newest(ctid, verified)
        said = [age_text(self.age(found)), *([found.state] if found and found.state else [])]
        newer = next(iter(self.backups.get(ctid, ())), None)
        if newer and newer.verification == "failed":
            said.append("a newer one failed" if found else newer.state)
        return ", ".join(said)

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {
            "now": self.now and self.now.isoformat(),
            "storages": dict(self.storages),
            "backups": {
                ctid: [{**asdict(one), "at": one.at.isoformat()} for one in its]
                for ctid, its in self.backups.items()
            },
            "problems": list(self.problems),
        }


def backups_from_json(data: Mapping[str, Any]) -> ObservedBackups:
    """Read the section `backups` of the node's answer (`node.backups`).

    >>> seen = backups_from_json({"now": "2026-11-22T02:00:00Z", "storages": {"pbs": "pbs"},
    ...     "backups": [[910, "2026-11-22T01:30:00Z", "pbs", "ok"]], "problems": []})
    >>> seen.text(910)
    '30 min, verified'
    """
    found: dict[int, list[Backup]] = {}
    for ctid, time, storage, *verification in data["backups"]:
        one = Backup(datetime.fromisoformat(time), storage, *verification)
        found.setdefault(ctid, []).append(one)
    backups = {
        ctid: tuple(sorted(its, key=lambda one: one.at, reverse=True))
        for ctid, its in found.items()
    }
    now = datetime.fromisoformat(data["now"])
    return ObservedBackups(now, data["storages"], backups, tuple(data["problems"]))


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
