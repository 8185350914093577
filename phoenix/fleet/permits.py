"""What of a fleet file needs the operator's word, `--data allow=`, and which word.

A fleet file describes; it does not run (docs/reference/permissions.md). What in it would have the
node run a program, or give a container more of the node than data, is done only if the operator
says so in this run, and each such line is shown then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from phoenix.fleet.model import Container, Mount
from phoenix.pve.health import NAME
from phoenix.pve.host_paths import NO_DISKS, entry_danger, path_danger
from phoenix.pve.raw_classes import needs_permission
from phoenix.pve.raw_keys import RawKey
from phoenix.pve.storage import ObservedStorage
from phoenix.text.printable import printable

#: What `allow=` permits of a fleet file: raw keys that act on the node as root, and mounts of
#: paths and devices of the node that are more than data.
RAW_HOOKS, HOST_PATHS = "raw-hooks", "host-paths"
PERMISSIONS = (RAW_HOOKS, HOST_PATHS)


@dataclass(frozen=True)
class Permit:
    """A line of the fleet file that needs a word of `allow=`.

    `key`: the key of the container's entry that it stands under; `line`: itself, as the conf would
    have it; `why`: what it does, a predicate that goes on from the line.
    """

    word: str
    key: str
    line: str
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.line} {self.why}"


def raw_permit(raw: RawKey, privileged: bool, disks: Mapping[str, str] = NO_DISKS) -> Permit | None:
    """The permit that a raw key needs, or None.

    `privileged`: root in it is root of the node; `disks`: as for `path_danger`.
    """
    if why := needs_permission(raw.key, raw.value, privileged):
        key = "lxc_options or id_maps" if raw.key == "lxc.idmap" else "lxc_options"
        return Permit(RAW_HOOKS, key, raw.line.rstrip(), why)
    if raw.key == "lxc.mount.entry" and (why := entry_danger(raw.value, disks)):
        return Permit(HOST_PATHS, "lxc_options", raw.line, why)
    return None


def mount_permit(mount: Mount, storage: ObservedStorage) -> Permit | None:
    """The permit that a mount needs, or None; `storage`: what the node has."""
    source = mount.source_on(storage.datasets)
    if why := path_danger(source, disks=storage.guest_disks):
        return Permit(HOST_PATHS, mount.origin, f"{source} on /{mount.target}", why)
    return None


def health_permit(container: Container, privileged: bool) -> Permit | None:
    """The permit that the command of a health check needs, or None.

    It runs in the guest, where the file's author may run what they like as far as the node is
    concerned; but root in a privileged one is root of the node, and before a run nothing may
    confine it.
    """
    if privileged and container.health and container.health.argv:
        line = printable(container.health.shown)
        return Permit(RAW_HOOKS, NAME, line, "runs in a privileged container, as root of the node")
    return None


def permits(container: Container, storage: ObservedStorage, privileged: bool) -> Iterator[Permit]:
    """All permits that a container's entry needs, in the order of its conf's lines."""
    for raw in container.raw:
        if permit := raw_permit(raw, privileged, storage.guest_disks):
            yield permit
    for mount in container.mounts:
        if permit := mount_permit(mount, storage):
            yield permit
    if permit := health_permit(container, privileged):
        yield permit
