"""What a container does today and its profile would refuse, known before anything restarts.

The rules are those of templates/apparmor/base.j2: what is said here is what they leave out, and
tests/unit/test_refusals.py holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from phoenix.apparmor.observed import Label
from phoenix.apparmor.sources import is_unreached
from phoenix.docker.observed import Bind, ObservedDocker
from phoenix.text.printable import printable

#: Folders of /sys that Docker's containers may have, under their own names; "" is all of it.
SYS_FOLDERS = (
    *("", "/block", "/bus", "/class", "/dev", "/devices", "/firmware", "/fs", "/fs/cgroup"),
    "/module",
)

#: The templates whose rules these are. What one of the operator's own lets through is not known.
TEMPLATES = ("lxc-docker-nested", "lxc-nesting-gpu-docker-storage", "lxc-phoenix-v2")

#: Storage drivers, and snapshotters of containerd's image store, that the rules know.
_DRIVERS = ("overlay2", "fuse-overlayfs", "vfs")
_SNAPSHOTTERS = ("overlayfs", "native", "fuse-overlayfs")

#: Where mounts of the new kind may go: for systemd, see base.j2.
_MOVED = re.compile(r"/(tmp|run/lock|dev/mqueue|dev/hugepages)")

#: From here on mount(8) calls move_mount(2), which AppArmor sees without source and type.
_NEW_MOUNT = (2, 39)


@dataclass(frozen=True)
class Refusal:
    """Something that works and would not: whose it is, and in words what and what to do."""

    owner: str
    text: str

    def __str__(self) -> str:
        return self.text


def refusals(
    docker: ObservedDocker,
    driver: str,
    profile: str,
    sources: Collection[str],
    accepted: Collection[str] = (),
    mounted: Collection[str] = (),
    allows: Collection[str] = (),
) -> Iterator[Refusal]:
    """What a profile that extends base.j2 would refuse a guest.

    `driver`: what its Docker runs on after its next start, "" where that is not known; `sources`:
    top directories that the profile names beside its patterns
    (`phoenix.plan.guest_paths.GuestPaths.sources`); `accepted`: names of what its owner goes
    without; `mounted`: places at which the node mounts something; `allows`: what the profile
    grants beside (`apparmor_allows`).
    """
    known = _SNAPSHOTTERS if docker.snapshotter and driver == docker.driver else _DRIVERS
    if driver and driver not in known and driver not in accepted:
        kind = "snapshotter" if known is _SNAPSHOTTERS else "storage driver"
        yield Refusal(
            driver,
            f"its Docker's {kind} is {driver}, which {profile} has no rules for: move to "
            "overlay2 or fuse-overlayfs (docker save, storage_driver)",
        )
    for bind in docker.binds:
        if bind.container not in accepted and (why := _refused_bind(bind, sources)):
            source, target = printable(bind.source), printable(bind.target)
            yield Refusal(
                bind.container,
                f"container {bind.container} binds {source} at {target}, which {profile} refuses: "
                f"{why}",
            )
    if docker.mount is None or docker.mount < _NEW_MOUNT:
        return
    for kind, target in docker.fstab:
        unit, place = mount_unit(target), target.rstrip("/")
        if unit in accepted or place in mounted or _MOVED.fullmatch(place):
            continue
        top = place.lstrip("/").split("/")[0]
        reached = not is_unreached(top) or f"/{top}" in sources
        grants = "fuse-mounts" if kind.partition(".")[0] == "fuse" else "guest-mounts"
        if not reached or grants not in allows:
            way_out = f', or grant it with "apparmor_allows": ["{grants}"]' if reached else ""
            yield Refusal(
                unit,
                f"/etc/fstab mounts {printable(target)} ({kind}), which {profile} refuses to "
                "mount(8) since util-linux 2.39: have the node mount it (mpN, or volumes of the "
                f"fleet file){way_out}",
            )


def is_under_its_rules(label: Label, ctid: int, withdrawn: Collection[str]) -> bool:
    """Whether a container lives under these rules already: what they refuse is refused.

    `withdrawn`: what its profile grants beside and will no more.
    """
    plain = label.profile.removesuffix("-ns").removesuffix(f"-{ctid}")
    return label.mode == "enforce" and not withdrawn and plain in TEMPLATES


def mount_unit(target: str) -> str:
    r"""The unit that systemd makes of an fstab line (systemd.mount(5)).

    >>> mount_unit("/srv/my-data")
    'srv-my\\x2ddata.mount'
    """
    plain = re.sub(r"/+", "/", target).strip("/")
    octets = plain.encode().decode("latin-1")
    escaped = re.sub(r"[^A-Za-z0-9:_./]|^\.", lambda one: f"\\x{ord(one[0]):02x}", octets)
    return f"{escaped.replace('/', '-') or '-'}.mount"


def _refused_bind(bind: Bind, sources: Collection[str]) -> str:
    """Why, and what to do; "" for one that is let through."""
    source = re.sub(r"/+", "/", bind.source).rstrip("/") or "/"
    target = re.sub(r"/+", "/", bind.target).rstrip("/")
    top = source.split("/")[1]
    if top in ("proc", "sys"):
        folders = SYS_FOLDERS if top == "sys" else ("",)
        if any(source == f"/{top}{one}" and target.endswith(source) for one in folders):
            return ""
        return f"what is in /{top} goes under its own name only: bind all of it at .../{top}"
    if top == "dev":
        if source == "/dev":
            return "" if target.endswith("/dev") else "bind it at a place that ends in /dev"
        return "what begins with a dot in /dev is LXC's own" if source[5] == "." else ""
    if is_unreached(top) and f"/{top}" not in sources:
        return f"its patterns for sources miss /{top}: mount it by the fleet file, or rename it"
    return ""
