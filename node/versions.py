"""Which kernel runs here, and which versions are installed of it and of what confines."""

from __future__ import annotations

from typing import Any

from node.bounded import run
from node.files import read, text
from node.root import at

#: Proxmox VE has pve-manager and lxc-pve, and calls its kernels one or the other; the rest are
#: Debian's.
_PACKAGES = (
    *("pve-manager", "lxc-pve", "lxc", "apparmor"),
    *("proxmox-kernel-*", "pve-kernel-*", "linux-image-*"),
)


def observe() -> dict[str, Any]:
    """What `uname -r` and `uname -v` say, and the installed packages, name to version.

    Each is empty where it cannot be told: nothing that is done here depends on it.
    """
    kernel = "/proc/sys/kernel"
    return {
        "release": (text(read(at(f"{kernel}/osrelease"))) or "").strip(),
        "build": (text(read(at(f"{kernel}/version"))) or "").strip(),
        "packages": _packages(),
    }


def _packages() -> dict[str, str]:
    asked = ["dpkg-query", f"--admindir={at('/var/lib/dpkg')}", "-W"]
    form = "-f=${db:Status-Status} ${Package} ${Version}\\n"
    # 1: one of the names has no package
    lines = (run([*asked, form, *_PACKAGES], seconds=30).text or "").split("\n")
    found = [line.split(" ") for line in lines]
    return {one[1]: one[2] for one in found if len(one) == 3 and one[0] == "installed"}
