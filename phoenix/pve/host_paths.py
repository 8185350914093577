"""What a path of the node gives away when a container mounts it.

Paths are judged by their plain form, so `//etc` and `/srv/../etc` are `/etc`; a symbolic link on
the node is not followed here. Whether a mount is read-only counts for little: root in a container
makes it writable again (mount_setattr(2) is not mediated, docs/confinement.md,
`remount-procsys-rw`), and sockets and secrets do not need writing. It counts for what is no secret
and belongs to the node's root (`READ_ONLY`), which root of an unprivileged container is not.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

#: What is given away by a path, by those below it and by those above it. A part may be a pattern.
SENSITIVE: Mapping[str, str] = {
    "/bin": "programs that the host runs as root",
    "/boot": "the host's kernel",
    "/etc": "what the host runs and trusts as root",
    "/etc/pve": "the cluster's configuration, and in priv/ its keys",
    "/home/*/.ssh": "keys of a user of the host",
    "/lib": "programs that the host runs as root",
    "/lib32": "programs that the host runs as root",
    "/lib64": "programs that the host runs as root",
    "/libx32": "programs that the host runs as root",
    "/mnt/pve/*/dump": "backups of other guests",
    "/mnt/pve/*/images": "disks of other guests",
    "/mnt/pve/*/private": "disks of other guests",
    "/mnt/pve/*/snippets": "hook scripts that the host runs as root",
    "/mnt/pve/*/template": "what containers are made of",
    "/proc": "the host's kernel",
    "/root": "the home of the host's root",
    "/run": "the sockets of the host's services",
    "/sbin": "programs that the host runs as root",
    "/sys": "the host's kernel",
    "/usr": "programs that the host runs as root",
    "/var/backups": "copies of the host's password files",
    "/var/cache/apt": "packages that the host installs as root",
    "/var/lib/apparmor": "what confines the containers",
    "/var/lib/apt": "packages that the host installs as root",
    "/var/lib/ceph": "disks of other guests",
    "/var/lib/containerd": "a container engine of the host",
    "/var/lib/containers": "a container engine of the host",
    "/var/lib/corosync": "the cluster",
    "/var/lib/docker": "a container engine of the host",
    "/var/lib/dpkg": "scripts that the host runs as root",
    "/var/lib/lxc": "configurations of containers, which name programs of the host",
    "/var/lib/lxcfs": "what the host tells other containers",
    "/var/lib/machines": "a container engine of the host",
    "/var/lib/phoenix-harden": "the journals by which a rollback writes files of the host",
    "/var/lib/private": "the state of the host's services",
    "/var/lib/pve-*": "the cluster's configuration",
    "/var/lib/systemd": "the state of the host's services",
    "/var/lib/vz": "disks of other guests, and hook scripts that the host runs as root",
    "/var/lock": "the locks of the host's services",
    "/var/log": "the host's logs",
    "/var/run": "the sockets of the host's services",
    "/var/spool": "jobs that the host runs as root",
}

#: Harmless below a sensitive path if mounted read-only: no secret in it, and only root may write.
READ_ONLY = (
    "/bin",
    "/boot/config-*",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/timezone",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/sbin",
    "/usr",
    "/var/log",
)

#: Shared by everybody on the node; what lies in them is not.
_SHARED = ("/dev", "/tmp", "/var/tmp")  # noqa: S108

#: Devices that containers are commonly given, below /dev; any other one asks.
ORDINARY_DEVICES = (
    "accel", "apex_*", "bus/usb", "cec*", "dma_heap", "dri", "dvb", "fb*", "full", "fuse",
    "gpiochip*", "hidraw*", "hwrng", "i2c-*", "input", "kfd", "kvm", "lirc*", "mali*", "media*",
    "mpp_service", "net", "null", "nvidia*", "ppp", "random", "rga", "serial", "snd", "spidev*",
    "ttyACM*", "ttyAMA*", "ttyS*", "ttyUSB*", "urandom", "vchiq", "vhost-net", "video*", "zero",
)  # fmt: skip

_ENGINES = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock")
# pve-storage: how ZFS and directory storage name the disks of containers
_GUEST_DISK = re.compile(r"(subvol|basevol)-\d+-disk-.+", re.ASCII)

#: `guest_disks` of a node that nobody has asked.
NO_DISKS: Mapping[str, str] = {}

#: File systems that hold nothing of the node's.
_EMPTY_TYPES = frozenset({"tmpfs", "ramfs", "mqueue", "devpts", "hugetlbfs", "cgroup", "cgroup2"})


def plain(path: str) -> str:
    """A path of the node in its plain form; a relative one begins at /, where lxc-start runs.

    >>> plain("//srv/../etc/./")
    '/etc'
    """
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def path_danger(
    path: str, read_only: bool = False, disks: Mapping[str, str] = NO_DISKS
) -> str | None:
    """Say what a mount of this path of the node gives away, or None for ordinary data.

    `disks`: `guest_disks` of that node.

    >>> path_danger("//etc/cron.d")
    "hands the host's /etc/cron.d to the container: what the host runs and trusts as root"
    >>> path_danger("/tank/media")
    """
    path = plain(path)
    parts = _parts(path)
    if parts and parts[-1] in _ENGINES:
        return f"hands {path} over, a container engine's socket, which is root on its machine"
    given = f"hands the host's {path} to the container"
    if path in ("/", *_SHARED):
        return given
    if parts[0] == "dev":
        is_ordinary = any(_is_below(parts[1:], device) for device in _DEVICES)
        return None if is_ordinary else f"{given}, no ordinary device"
    if any(_GUEST_DISK.fullmatch(part) for part in parts):
        return f"{given}: a disk of a container"
    if disk := disks.get(path):
        return f"{given}, a disk of a container with it: {disk}"
    if read_only and any(_is_below(parts, name) for _, name in _FINE.get(parts[0], ())):
        return None
    near = _GIVES.get(parts[0], ())
    below = [name for name, its in near if _is_below(parts, its)]
    if below:
        return f"{given}: {SENSITIVE[max(below, key=len)]}"
    above = [name for name, its in near if all(map(fnmatchcase, parts, its))]
    return f"{given}, {above[0]} with it" if above else None


def entry_danger(value: str, disks: Mapping[str, str] = NO_DISKS) -> str | None:
    """Say what a mount entry, a line of an fstab, brings in from the node, or None.

    Source: fstab(5); lxc, src/lxc/conf.c mount_entry and safe_mount.

    >>> entry_danger("/dev/dri dev/dri none bind,create=dir 0 0")
    >>> entry_danger("/dev/sda1 mnt ext4 rw 0 0")
    "hands the host's /dev/sda1 to the container, no ordinary device"
    """
    fields = fstab_fields(value)
    if len(fields) < 3:
        return None
    source, target, kind = fields[:3]
    options = (fields[3] if len(fields) > 3 else "").split(",")
    if "relative" in options:
        # the source is not checked for links, as the target is
        return "mounts what the container itself puts there, a link to a path of the host as well"
    bound = not {"bind", "rbind", "move"}.isdisjoint(options) or kind in ("none", "bind")
    if bound or source.startswith("/"):
        mapped = any(option.startswith("idmap=") for option in options)
        read_only = "ro" in options and not mapped
        if danger := path_danger(source, read_only, disks):
            return danger
    if bound or kind in _EMPTY_TYPES:
        return None
    if kind in ("proc", "sysfs"):
        own = plain(target) == {"proc": "/proc", "sysfs": "/sys"}[kind]
        return None if own else f"mounts {kind} where AppArmor's rules do not look for it"
    return f"has the host mount a file system of type {kind}"


def guest_disks(datasets: Mapping[str, str]) -> Mapping[str, str]:
    """Where a node mounts disks of guests, by that path and by each above it.

    `datasets`: ZFS dataset to where it is mounted; one of a guest may be so under any name.

    >>> guest_disks({"tank/subvol-952-disk-1": "/srv/odd", "tank/media": "/media"})
    {'/srv/odd': '/srv/odd', '/srv': '/srv/odd', '/': '/srv/odd'}
    """
    found: dict[str, str] = {}
    for dataset, mountpoint in datasets.items():
        if any(map(_GUEST_DISK.fullmatch, _parts(f"{dataset}/{mountpoint}"))):
            path = PurePosixPath(plain(mountpoint))
            for one in (path, *path.parents):
                found.setdefault(str(one), mountpoint)
    return found


def fstab_fields(value: str) -> list[str]:
    """The fields of a mount entry, as getmntent(3) splits and decodes them."""
    return [_unescaped(field) for field in re.split(r"[ \t]+", value.strip(" \t"))]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _by_top(names: Iterable[str]) -> Mapping[str, Sequence[tuple[str, Sequence[str]]]]:
    """Names and their parts, by the first of them, which is no pattern."""
    found: dict[str, list[tuple[str, Sequence[str]]]] = {}
    for name in names:
        parts = _parts(name)
        found.setdefault(parts[0], []).append((name, parts))
    return found


def _is_below(parts: Sequence[str], name: Sequence[str]) -> bool:
    """Whether a path is this one, or lies below it."""
    return len(parts) >= len(name) and all(map(fnmatchcase, parts, name))


def _unescaped(field: str) -> str:
    r"""Undo what getmntent(3) undoes: `\040` and its like for blanks and the backslash."""
    if "\\" not in field:
        return field
    return re.sub(r"\\(040|011|012|134|\\)", lambda match: _CODES[match[1]], field)


_CODES = {"040": " ", "011": "\t", "012": "\n", "134": "\\", "\\": "\\"}
_GIVES, _FINE = _by_top(SENSITIVE), _by_top(READ_ONLY)
_DEVICES = tuple(map(_parts, ORDINARY_DEVICES))
