"""What the node can fall back on: its storages, and the backups of containers on them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from node.bounded import MIB, MISSING, TIME, Ended, run
from node.files import read, text
from node.root import at, seconds

_LIMIT = 16 * MIB
_TIME = "%Y-%m-%dT%H:%M:%SZ"

_YES = re.compile(r"1|yes|on|true", re.IGNORECASE)
#: What the storage of this name holds that is always there (pve-storage Storage.pm, parse_config).
_LOCAL = "backup,images,iso,rootdir,snippets,vztmpl"
_SHARES = ("nfs", "cifs", "cephfs", "glusterfs")
# pve-storage Plugin.pm archive_info, of containers: vzdump writes `.dat` until it is complete
_ARCHIVE = re.compile(
    r"vzdump-lxc-([1-9][0-9]{2,8})-(2[0-9]{3})_([0-9]{2})_([0-9]{2})"
    r"-([0-9]{2})_([0-9]{2})_([0-9]{2})\.(?:tgz|tar(?:\.(?:gz|lzo|zst|bz2))?)"
)
# as pvesm prints it: NAME:backup/ct/910/2026-11-20T02:00:00Z
_VOLUME = re.compile(
    r"\S+:backup/ct/([1-9][0-9]{2,8})/([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\s.*"
)

#: A container, and when it was backed up.
_Backup = tuple[int, str]


def observe(listed: bool) -> dict[str, Any]:
    """The node's clock, the storages that it may use and, if `listed`, the backups on them.

    - `now`, and the time of each backup: UTC, 2026-11-22T01:30:00Z
    - `storages`: name to type · `backups`: CTID, time, storage, of those that are complete, and
      what a Proxmox Backup Server says of it: `ok`, `failed`, or `none` yet
    - `problems`: the storages that could not be asked
    """
    types: dict[str, str] = {}
    backups: list[list[Any]] = []
    problems: list[str] = []
    found = {"now": _utc(time.time()), "storages": types}
    node = node_name()
    for name, storage in sorted(storages().items()):
        if is_on(storage.get("disable", "")) or node not in words(storage.get("nodes", node)):
            continue
        types[name] = storage["type"]
        content = storage.get("content", "backup" if storage["type"] == "pbs" else "")
        if listed and "backup" in words(content):
            backups += _listed(name, storage, node, problems)
    return {**found, "backups": backups, "problems": problems}


def patience() -> float:
    """How long a storage may take, in seconds."""
    return seconds("PATIENCE", 60)


class StorageError(Exception):
    """Why a storage could not be asked."""


def _listed(
    name: str, storage: Mapping[str, str], node: str, problems: list[str]
) -> Iterator[list[Any]]:
    """The backups on a storage; what it cannot be asked is added to the problems."""
    try:
        found = [*_backups(name, storage)]
    except StorageError as why:
        problems.append(f"storage {name}: {why}")
        return
    states: dict[_Backup, str] = {}
    if found and storage["type"] == "pbs":
        try:
            states = _verifications(name, node)
        except StorageError as why:
            problems.append(f"storage {name}: what it has verified is not known: {why}")
    for one in found:
        yield [*one, name, *([states[one]] if one in states else [])]


def storages() -> dict[str, dict[str, str]]:
    """Storage to its settings, `type` among them; the local one is always there.

    pve-common SectionConfig.pm and pve-storage Plugin.pm parse_config.
    """
    found: dict[str, dict[str, str]] = {}
    one: dict[str, str] | None = None
    for line in (text(read(at("/etc/pve/storage.cfg"))) or "").split("\n"):
        if head := re.fullmatch(r"(\S+):\s*(\S+)\s*", line):
            one = found[head[2]] = {"type": head[1].lower()}
        elif not line.strip():
            one = None
        elif one is not None and (pair := re.fullmatch(r"\s+([^\s#]\S*)(?:\s+(.*\S))?\s*", line)):
            one[pair[1]] = pair[2] or "1"
    local = found.get("local", {})
    if local.get("type") != "dir" or local.get("path", "/var/lib/vz") != "/var/lib/vz":
        local = found["local"] = {"type": "dir", "content": _LOCAL}
    local["path"] = "/var/lib/vz"
    local.pop("nodes", None)
    return found


def _backups(name: str, storage: Mapping[str, str]) -> Iterator[_Backup]:
    """Raises StorageError."""
    found = folder(name, storage, "backup", "dump")
    return _of_server(name) if found is None else _of_folder(found)


def folder(name: str, storage: Mapping[str, str], content: str, usual: str) -> str | None:
    """Where a storage has one kind of content, None if that is no folder. Raises StorageError.

    `usual`: the folder below it, unless it says another. Source: pve-storage Plugin.pm.
    """
    path = storage.get("path")
    if path is None and storage["type"] in _SHARES:
        path = f"/mnt/pve/{name}"
    if path is None:
        return None
    _check_mounted(path, storage)
    own = re.search(rf"(?:^|[\s,;]){content}=([^\s,;]+)", storage.get("content-dirs", ""))
    return f"{path}/{own[1] if own else usual}"


def _check_mounted(path: str, storage: Mapping[str, str]) -> None:
    mount = storage.get("is_mountpoint", "no")
    if storage["type"] not in ("dir", "btrfs") or is_on(mount):
        mount = path
    if mount.startswith("/"):
        mounts = (text(read(at("/proc/mounts"))) or "").split("\n")
        if mount not in [line.split(" ")[1] for line in mounts if " " in line]:
            raise StorageError(f"{mount} is not mounted")


def _of_folder(folder: str) -> Iterator[_Backup]:
    """The archives in a folder, in a process of its own: a share may hang."""
    tests = ["-mindepth", "1", "-maxdepth", "1", "-name", "vzdump-lxc-*", "-type", "f"]
    ended = run(
        ["find", "-L", at(folder), *tests, "-size", "+0", "-printf", "%f\\0"],
        seconds=patience(),
        limit=_LIMIT,
    )
    if not ended.ok and not ended.err.rstrip().endswith(b": No such file or directory"):
        raise StorageError(_why(ended))
    for name in sorted((text(ended.out) or "").split("\0")):
        if (found := _ARCHIVE.fullmatch(name)) and (when := _local_time(found.groups()[1:])):
            yield int(found[1]), when


def _of_server(name: str) -> Iterator[_Backup]:
    """Those of a Proxmox Backup Server above all."""
    ended = run(
        ["pvesm", "list", name, "--content", "backup"], seconds=patience(), limit=_LIMIT, merge=True
    )
    if not ended.ok:
        raise StorageError(_why(ended))
    for line in (text(ended.out) or "").split("\n"):
        if (found := _VOLUME.fullmatch(line)) and _is_time(found[2]):
            yield int(found[1]), found[2]


def _verifications(name: str, node: str) -> dict[_Backup, str]:
    """What a Proxmox Backup Server says of each backup: `ok`, `failed`, or `none` yet.

    `pvesm list` does not tell (pve-storage, PBSPlugin.pm list_volumes). Raises StorageError.
    """
    path = f"/nodes/{node or 'localhost'}/storage/{name}/content"
    call = ["pvesh", "get", path, "--content", "backup", "--output-format", "json"]
    ended = run(call, seconds=patience(), limit=_LIMIT)
    if not ended.ok:
        raise StorageError(_why(ended))
    try:
        return dict(filter(None, map(_verification, json.loads(ended.out))))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise StorageError("its answer is not understood") from None


def _verification(volume: dict[str, Any]) -> tuple[_Backup, str] | None:
    found = _VOLUME.fullmatch(f"{volume.get('volid')} ")
    state = (volume.get("verification") or {}).get("state", "none")
    known = found is not None and state in ("ok", "failed", "none")
    return ((int(found[1]), found[2]), state) if found and known else None


def _why(ended: Ended) -> str:
    if ended.why == TIME:
        return f"no answer in {patience():g} s"
    if ended.why and ended.why != MISSING:
        return "its answer is too long"
    return " ".join((text(ended.out + b"\n" + ended.err) or "").split()) or "cannot be listed"


def _local_time(numbers: tuple[str, ...]) -> str | None:
    """The time in a name is the node's own, as in its zone; None for what is no time."""
    year, month, day, hour, minute, second = (int(number) for number in numbers)
    try:
        return _utc(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    except (OverflowError, ValueError):
        return None


def _is_time(when: str) -> bool:
    try:
        return bool(time.strptime(when, _TIME))
    except ValueError:
        return False


def _utc(seconds: float) -> str:
    return time.strftime(_TIME, time.gmtime(seconds))


def node_name() -> str:
    """The name of this node, "" where it has none."""
    try:
        return os.path.basename(os.readlink(at("/etc/pve/local")))
    except OSError:
        return ""


def words(value: str) -> list[str]:
    """The parts of a list in `storage.cfg`."""
    return re.split(r"[\s,;]+", value)


def is_on(value: str) -> bool:
    """Whether a setting there says yes."""
    return _YES.fullmatch(value) is not None
