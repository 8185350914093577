"""Which kernels and which LXC a node has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phoenix.text.debian_version import is_older

# uname -v: "#1 SMP PREEMPT_DYNAMIC PMX 6.17.13-2 (2026-03-13T08:06Z)", "… Debian 6.12.74-2
# (2026-03-08)"; Proxmox VE 7 and before say PVE
_BUILD = re.compile(r"\b(PMX|PVE|Debian) ([0-9][0-9A-Za-z.+:~-]*)")
_BUILT = re.compile(r"\(([0-9]{4}-[0-9]{2}-[0-9]{2})[T)]")
_RELEASE = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+-[0-9]+)-pve")
_SERIES = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])")
_PACKAGES = {
    "Proxmox": re.compile(r"(?:proxmox|pve)-kernel-[0-9][0-9.]*-[0-9]+-pve(?:-signed)?"),
    "Debian": re.compile(r"linux-image-[0-9].*(?<!-dbg)"),
}

#: Since when LXC's generated profile lets runc reopen what it sets (changelogs), newest range
#: first, each with its first version: of Proxmox VE, and Debian's, whose versions have an epoch.
#: Debian 13 has mended its 6.0.4, upstream its 6.0.6; of series before 6 nothing is known.
_LXC = {
    "lxc-pve": (("", "6.0.5-2"),),
    "lxc": (("1:6.0.5~", "1:6.0.6"), ("1:6", "1:6.0.4-4+deb13u4")),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel: whose (`Proxmox`, `Debian`, "" for another's), and its package's version.

    Of another's that of the kernel itself.

    `built`: the day, as 2026-03-13. Each is "" where it is not known.
    """

    vendor: str = ""
    version: str = ""
    built: str = ""

    @property
    def series(self) -> tuple[int, int]:
        """As 6.17; 0.0 where that is not known."""
        return series(self.version)


@dataclass(frozen=True)
class Lxc:
    """The package of LXC, its version, and since which one its generated profile lets runc work.

    That is: reopen what it sets, as runc does since its fix of CVE-2025-52881.
    """

    package: str
    version: str
    floor: str

    @property
    def is_fixed(self) -> bool:
        """Whether it does."""
        return not is_older(self.version, self.floor)


@dataclass(frozen=True)
class ObservedVersions:
    """What a node says: `uname -r` and `uname -v`, and package names to their versions.

    Of packages there are those of LXC, of kernels, `apparmor` and `pve-manager`, as far as they are
    installed.
    """

    release: str = ""
    build: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    @property
    def running(self) -> Kernel:
        """The kernel that runs.

        >>> ObservedVersions("6.17.13-2-pve", "#1 SMP PMX 6.17.13-2 (2026-03-13T08:06Z)").running
        Kernel(vendor='Proxmox', version='6.17.13-2', built='2026-03-13')
        """
        day = _BUILT.search(self.build)
        built = day[1] if day else ""
        if found := _BUILD.search(self.build):
            return Kernel("Debian" if found[1] == "Debian" else "Proxmox", found[2], built)
        if found := _RELEASE.fullmatch(self.release):
            return Kernel("Proxmox", found[1], built)
        return Kernel("", self.release, built)

    @property
    def lxc(self) -> Lxc | None:
        """The node's LXC, None where nothing is known of it."""
        for package, ranges in _LXC.items():
            version = self.packages.get(package, "")
            for first, floor in ranges:
                if version and not is_older(version, first):
                    return Lxc(package, version, floor)
        return None

    @property
    def installed(self) -> tuple[Kernel, ...]:
        """The kernels that are installed; when they were built is not known."""
        return tuple(
            Kernel(vendor, version)
            for name, version in self.packages.items()
            for vendor, pattern in _PACKAGES.items()
            if pattern.fullmatch(name)
        )


def series(version: str) -> tuple[int, int]:
    """The first two numbers of a version, without its epoch; (0, 0) where it has none."""
    found = _SERIES.match(version.rpartition(":")[2])
    return (int(found[1]), int(found[2])) if found else (0, 0)


def versions_from_json(data: Mapping[str, Any]) -> ObservedVersions:
    """Read the section `versions` of the node's answer (`node.versions`)."""
    return ObservedVersions(data["release"], data["build"], data["packages"])
