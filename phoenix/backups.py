"""What a container can fall back on should all else fail: its backups, and snapshots of it.

`require_backup=HOURS` and `snapshot=true` are checked here, before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from phoenix.changes import ContainerChange, NodePlan
from phoenix.mounts import read_mount
from phoenix.property_string import parse
from phoenix.pve_conf import PveConf

#: Storages that take no snapshot of a container's volume, which is raw or a directory there
#: (pve-storage, volume_has_feature of each plugin). Of the others the attempt tells.
WITHOUT_SNAPSHOTS = frozenset({"dir", "nfs", "cifs", "cephfs", "glusterfs", "lvm", "iscsi"})


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


def check_backups(plan: NodePlan, backups: ObservedBackups, hours: int) -> Iterator[str]:
    """Give one problem for each container to change whose newest backup is not as new as that."""
    for change in plan.containers:
        age = backups.age(change.ctid)
        if age is not None and age <= timedelta(hours=hours):
            continue
        have = f"the newest backup is {age_text(age)} old" if age is not None else "no backup"
        asked = "".join(f" ({problem})" for problem in backups.problems)
        yield (
            f"{plan.node}: CT {change.ctid} {change.name}: {have}, require_backup={hours} (hours)"
            f"{asked}: vzdump {change.ctid} makes one"
        )


def check_snapshots(plan: NodePlan, backups: ObservedBackups) -> Iterator[str]:
    """Give one problem for each container to change that surely cannot have a snapshot."""
    for change in plan.containers:
        if why := _no_snapshot(change, backups):
            yield (
                f"{plan.node}: CT {change.ctid} {change.name}: snapshot=true: {why}: "
                f"leave snapshot=true out, and have a backup (vzdump {change.ctid})"
            )


def _no_snapshot(change: ContainerChange, backups: ObservedBackups) -> str | None:
    # pve-container Config.pm has_feature: each volume must be able to, a directory never is
    for key, volume in _volumes(change.before):
        if volume.startswith("/"):
            return f"{key} is {volume} of the node, and Proxmox takes no snapshot with such a one"
        storage = volume.partition(":")[0]
        if (kind := backups.storages.get(storage)) in WITHOUT_SNAPSHOTS:
            return f"{key} is on {storage} ({kind}), which has no snapshots"
    return None


def _volumes(conf: PveConf) -> Iterator[tuple[str, str]]:
    for key in conf.main:
        value = conf.main[key] or ""
        try:
            if key == "rootfs":
                yield key, parse(value, "volume")["volume"]
            elif key.startswith("mp") and key[2:].isdigit():
                yield key, str(read_mount(value)["volume"])
        except (KeyError, ValueError):
            # Proxmox itself will tell
            continue
