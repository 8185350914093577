"""What a container can fall back on should all else fail: its backups, and snapshots of it.

`require_backup=HOURS` and `snapshot=true` are checked here, before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.backups import ObservedBackups, age_text
from phoenix.pve.conf import PveConf
from phoenix.pve.mounts import read_mount
from phoenix.pve.property_string import parse

#: Storages that take no snapshot of a container's volume, which is raw or a directory there
#: (pve-storage, volume_has_feature of each plugin). Of the others the attempt tells.
WITHOUT_SNAPSHOTS = frozenset({"dir", "nfs", "cifs", "cephfs", "glusterfs", "lvm", "iscsi"})


def check_backups(plan: NodePlan, backups: ObservedBackups, hours: int) -> Iterator[Finding]:
    """Find each container to change whose newest backup is not as new as that."""
    for change in plan.containers:
        age = backups.age(change.ctid)
        if age is not None and age <= timedelta(hours=hours):
            continue
        have = f"the newest backup is {age_text(age)} old" if age is not None else "no backup"
        asked = "".join(f" ({problem})" for problem in backups.problems)
        yield Finding(
            Code.BACKUP_MISSING,
            Severity.ERROR,
            f"{have}, require_backup={hours} (hours){asked}",
            change.ctid,
            change.name,
            f"vzdump {change.ctid} makes one",
        )


def check_snapshots(plan: NodePlan, backups: ObservedBackups) -> Iterator[Finding]:
    """Find each container to change that surely cannot have a snapshot."""
    for change in plan.containers:
        if why := _no_snapshot(change, backups):
            yield Finding(
                Code.SNAPSHOT_IMPOSSIBLE,
                Severity.ERROR,
                f"snapshot=true: {why}",
                change.ctid,
                change.name,
                f"leave snapshot=true out, and have a backup (vzdump {change.ctid})",
            )


def _no_snapshot(change: ContainerChange, backups: ObservedBackups) -> str | None:
    # pve-container Config.pm has_feature: each volume must be able to, a directory never is
    for key, volume in _volumes(change.before):
        if volume.startswith("/"):
            return f"{key} is a bind mount of {volume}; Proxmox cannot snapshot this container"
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
