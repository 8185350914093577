"""What a clone is made from: a container of the node, or one that the same run makes.

Source: pve-container API2/LXC.pm, clone_vm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from phoenix.fleet.model import Container
from phoenix.plan.actions import ContainerChange
from phoenix.pve.conf import PveConf, Section
from phoenix.pve.observed import ObservedContainer

_DISK_SIZE = re.compile(r"(?:^|,)size=([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:,|$)", re.ASCII)
#: GiB of each unit (pve-common JSONSchema.pm, parse_size).
_UNITS = {"": 2**-30, "K": 2**-20, "M": 2**-10, "G": 1, "T": 1024}
#: What a clone does not take over.
_NOT_CLONED = re.compile(
    r"rootfs|lock|template|parent|snaptime|snapstate|delete|unused[0-9]+", re.ASCII
)


@dataclass(frozen=True)
class Source:
    """What a clone is made from.

    `conf`: that of a clone of it, before anything is set; `snapshot`: where the clone begins, ""
    for how it is now; `full`: a copy, no linked clone; `size`: GiB of its disk, None where that is
    not known; `managed`: what runs of ours brought into it; `docker`: it has one, as far as is
    known.
    """

    ctid: int
    conf: PveConf
    snapshot: str = ""
    full: bool = True
    size: float | None = None
    managed: str | None = None
    docker: bool = False


def from_made(entry: Container, change: ContainerChange, size: float | None) -> Source:
    """One that the same run makes before; `size`: GiB of its disk."""
    return Source(
        entry.ctid,
        clone_of(change.after),
        entry.making.snapshot or "",
        size=size,
        managed=change.managed.render() if change.managed else None,
        docker=entry.docker,
    )


def from_existing(observed: ObservedContainer, entry: Container | None, full: bool) -> Source:
    """One that is there; `entry`: what the fleet file says of it, `full`: a copy in any case.

    The clone begins with the snapshot that the entry names, if there is such a one.
    """
    conf = observed.conf
    named = (entry.making.snapshot if entry else None) or ""
    snapshot = named if named in conf.snapshots_names else ""
    return Source(
        observed.ctid,
        clone_of(conf, snapshot),
        snapshot,
        full=full or not conf.template,
        size=disk_size(conf, snapshot),
        managed=observed.managed,
        docker=bool(entry and entry.docker),
    )


def clone_of(conf: PveConf, snapshot: str = "") -> PveConf:
    """The conf of a clone before anything is set; `snapshot`: the one that it begins with."""
    sections = (one for one in conf.snapshots if one.name == snapshot)
    section = next(sections, conf.main) if snapshot else conf.main
    return PveConf.parse("".join(_cloned(section)))


def disk_size(conf: PveConf, snapshot: str = "") -> float | None:
    """GiB of the disk that a conf names, None where it does not say."""
    sections = (one for one in conf.snapshots if one.name == snapshot)
    section = next(sections, conf.main) if snapshot else conf.main
    found = _DISK_SIZE.search(section["rootfs"] or "")
    size = float(found[1]) * _UNITS[found[2]] if found else 0
    # of a subvolume without a quota Proxmox says 0T
    return size or None


def _cloned(section: Section) -> Iterator[str]:
    for line in section.lines:
        text = f"{line.text.removesuffix(line.ending)}\n"
        if line.kind in ("comment", "raw"):
            yield text
        elif line.kind == "key" and not _NOT_CLONED.fullmatch(line.key):
            if re.fullmatch(r"net[0-9]+", line.key):
                # each clone has addresses of cards of its own
                text = re.sub(r"(?<=[ ,])hwaddr=[^,\n]*,?", "", text)
                text = f"{text.rstrip(',' + chr(10))}\n"
            yield text
