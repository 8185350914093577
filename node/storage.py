"""Which directories and devices that the fleet file and confs name are on the node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node import containers
from node.files import read, text
from node.reach import GONE, look
from node.root import at
from phoenix.pve.bind_sources import bind_sources, plain_field
from phoenix.pve.conf import PveConf


def observe(paths: list[str]) -> dict[str, Any]:
    """Those of `paths` that exist, and where the ZFS datasets are mounted.

    `silent`: by path, of confs as well, why nobody can tell whether it is there: a share that gives
    no answer.
    """
    found = look([*paths, *_sources()])
    return {
        "paths": [path for path in paths if not found[path]],
        "datasets": dict(_datasets()),
        "silent": {path: why for path, why in found.items() if why not in ("", GONE)},
    }


def _sources() -> Iterator[str]:
    for ctid in containers.ctids():
        try:
            conf = read(at(f"/etc/pve/lxc/{ctid}.conf")) or b""
        except OSError:
            # the section of the containers says so
            continue
        yield from bind_sources(PveConf.from_bytes(conf))


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
