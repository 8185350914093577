"""What a container can fall back on should all else fail: its backups, and snapshots of it.

`require_backup` and `snapshot=true` are checked here, before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.install import InstallChange
from phoenix.pve.backups import Backup, ObservedBackups, RequiredBackup, age_text
from phoenix.pve.conf import PveConf
from phoenix.pve.mounts import read_mount
from phoenix.pve.property_string import parse

#: Storages that take no snapshot of a container's volume, which is raw or a directory there
#: (pve-storage, volume_has_feature of each plugin). Of the others the attempt tells.
WITHOUT_SNAPSHOTS = frozenset({"dir", "nfs", "cifs", "cephfs", "glusterfs", "lvm", "iscsi"})


def check_backups(
    plan: NodePlan, backups: ObservedBackups, required: RequiredBackup
) -> Iterator[Finding]:
    """Find each container to change that has no such backup."""
    asked = ",".join(
        [*([str(required.hours)] if required.hours else []), *["verified"] * required.verified]
    )
    unit = " (hours)" if required.hours else ""
    problems = "".join(f" ({problem})" for problem in backups.problems)
    way = ", and its storage verifies it" if required.verified else ""
    for change in plan.touched.values():
        found = backups.newest(change.ctid, required.verified)
        age = backups.age(found)
        if age is not None and (required.hours is None or age <= timedelta(hours=required.hours)):
            continue
        kind = "verified backup" if required.verified else "backup"
        have = f"the newest {kind} is {age_text(age)} old" if found else f"no {kind}"
        yield Finding(
            Code.BACKUP_MISSING,
            Severity.ERROR,
            f"{have}{_newer(backups, change.ctid, found)}, require_backup={asked}{unit}{problems}",
            change.ctid,
            change.name,
            f"vzdump {change.ctid} makes one{way}",
        )


def _newer(backups: ObservedBackups, ctid: int, counts: Backup | None) -> str:
    """The newest one, if that is not the one that counts."""
    newest = next(iter(backups.backups.get(ctid, ())), None)
    if newest is None or newest == counts:
        return ""
    state = newest.state or "on a storage that verifies nothing"
    return f" (one on {newest.storage} is {age_text(backups.age(newest))} old and {state})"


def check_snapshots(plan: NodePlan, backups: ObservedBackups) -> Iterator[Finding]:
    """Find each container to change that surely cannot have a snapshot."""
    for change in plan.touched.values():
        if why := _no_snapshot(change, backups):
            yield Finding(
                Code.SNAPSHOT_IMPOSSIBLE,
                Severity.ERROR,
                f"snapshot=true: {why}",
                change.ctid,
                change.name,
                f"leave snapshot=true out, and have a backup (vzdump {change.ctid})",
            )


def _no_snapshot(change: ContainerChange | InstallChange, backups: ObservedBackups) -> str | None:
    # pve-container Config.pm has_feature: each volume must be able to, a directory never is
    for key, volume in volumes(change.before):
        if volume.startswith("/"):
            return f"{key} is a bind mount of {volume}; Proxmox cannot snapshot this container"
        storage = volume.partition(":")[0]
        if (kind := backups.storages.get(storage)) in WITHOUT_SNAPSHOTS:
            return f"{key} is on {storage} ({kind}), which has no snapshots"
    return None


def volumes(conf: PveConf) -> Iterator[tuple[str, str]]:
    """The disks of a container and what they are: `STORAGE:VOLUME`, or a path of the node."""
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
