"""Which directories and devices that the fleet file and confs name are on the node."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from node import containers
from node.backups import storages
from node.files import names_in, read, text
from node.reach import GONE, look
from node.root import at
from phoenix.pve.bind_sources import bind_sources, plain_field

# of the DRM: outputs of a card stand beside it, as card0-HDMI-A-1
_DRI = re.compile(r"(card|renderD)[0-9]{1,3}")
_MINOR = re.compile(r"^Device Minor:[ \t]*([0-9]{1,3})[ \t]*$", re.MULTILINE)
_VENDOR = "0x10de"
#: Without one of these in it a conf mounts nothing of the node.
_HOLDING = re.compile(rb"^(?:rootfs|mp[0-9]+):\s*/|volume=/|lxc\.mount\.entry", re.MULTILINE)


def observe(paths: list[str], nvidia: bool = False) -> dict[str, Any]:
    """Those of `paths` that exist, and where the ZFS datasets are mounted.

    Those below a storage of Proxmox by the storage's name as well: `STORAGE/NAME`. `silent`: by
    path, of confs as well, why nobody can tell whether it is there: a share that gives no answer.
    `nvidia`: also which device nodes the GPUs have beside those of `paths`.
    """
    seen = look([*paths, *_sources()])
    datasets = dict(_datasets())
    found = {
        "paths": [path for path in paths if not seen[path]],
        "datasets": {**dict(_by_storage(datasets)), **datasets},
        "silent": {path: why for path, why in seen.items() if why not in ("", GONE)},
    }
    return {**found, "nvidia": _nvidia()} if nvidia else found


def _nvidia() -> dict[str, Any]:
    """The nodes of the driver's capabilities, and those of the DRM by the GPU's number.

    A GPU is known by its place on the bus: the driver has it with the number (its README, "Using
    the /proc File System Interface"), the kernel's sysfs with the node.
    """
    minors = {bus.lower(): _minor(bus) for bus in _in_order("/proc/driver/nvidia/gpus")}
    dri: dict[str, list[str]] = {}
    unclear: list[str] = []
    for name in filter(_DRI.fullmatch, _in_order("/dev/dri")):
        device = f"/sys/class/drm/{name}/device"
        if _said(f"{device}/vendor").strip() != _VENDOR:
            continue
        minor = minors.get(os.path.basename(os.path.realpath(at(device))).lower())
        whose = dri.setdefault(minor, []) if minor else unclear
        whose.append(f"/dev/dri/{name}")
    caps = [f"/dev/nvidia-caps/{name}" for name in _in_order("/dev/nvidia-caps")]
    return {"caps": caps, "dri": dri, "unclear": unclear}


def _minor(bus: str) -> str:
    """N of a GPU's `/dev/nvidiaN`, "" where the driver does not say."""
    found = _MINOR.search(_said(f"/proc/driver/nvidia/gpus/{bus}/information"))
    return f"{int(found[1])}" if found else ""


def _said(path: str) -> str:
    with suppress(OSError):
        return text(read(at(path))) or ""
    return ""


def _in_order(path: str) -> list[str]:
    """The names in a folder, 2 before 10."""
    return sorted(names_in(at(path)), key=lambda name: (len(name), name))


def _by_storage(datasets: dict[str, str]) -> Iterator[tuple[str, str]]:
    for storage, one in storages().items():
        pool = one.get("pool") if one["type"] == "zfspool" else None
        for name, place in datasets.items() if pool else ():
            if name.startswith(f"{pool}/"):
                yield f"{storage}{name[len(pool or '') :]}", place


def _sources() -> Iterator[str]:
    for conf in containers.confs(_HOLDING):
        yield from bind_sources(conf)


def _datasets() -> Iterator[tuple[str, str]]:
    """Each mounted dataset with where that is: of all its places the one that came first.

    Others are binds of it, as Proxmox makes one of a container's disk while that runs. Of a folder
    in it they show another root (proc_pid_mountinfo(5)).
    """
    lines = (text(read(at("/proc/self/mountinfo"))) or "").split("\n")
    for line in reversed(lines):
        place, _, source = line.partition(" - ")
        fields, kind = place.split(" "), source.split(" ")
        if kind[0] == "zfs" and fields[3] == "/":
            yield plain_field(kind[1]), plain_field(fields[4])
