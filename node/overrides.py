"""What of the node itself takes confinement away from containers, whatever their confs say."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from typing import Any

from node.bounded import run
from node.files import read, text
from node.root import at

_CONFIG = "/usr/share/lxc/config"
#: What LXC's profiles, and the one that it generates, are made of.
_BASE = "/etc/apparmor.d/abstractions/lxc/container-base"
#: Who brings those files: Proxmox's packages, and Debian's.
_PACKAGES = ("lxc-pve", "pve-container", "lxc", "liblxc-common", "lxcfs")

# what every container includes (LXC.pm update_lxc_config), by kind of guest; userns.conf: those
# that are unprivileged
_INCLUDED = ("*common.conf", "*userns.conf", "common.conf.d/*.conf", "userns.conf.d/*.conf")
_LINE = re.compile(r"^\s*lxc\.(?:apparmor|aa_|mount\.|include|cap\.|cgroup).*", re.MULTILINE)
_GRUB = re.compile(r"^\s*(?:export\s+)?GRUB_CMDLINE_LINUX.*", re.MULTILINE)
_CHANGED = re.compile(r"^(?:missing|[^ ]{9}) +(?:. )?(/\S.*)$", re.MULTILINE)

#: Bytes of a file, and files of a kind: nobody has more.
_LIMIT, _MOST = 64 * 1024, 200


def observe() -> dict[str, Any]:
    """The kernel's lines, and LXC's files.

    - `kernel`: by its file each line that the kernel has now (`/proc/cmdline`) or at its next boot
    - `lxc`: by its file the lines of LXC's configuration that bear on confinement
    - `base`: the text of abstractions/lxc/container-base, null without one
    - `changed`: files of LXC that are not as their package has them; null if dpkg cannot tell
    """
    return {
        "kernel": dict(_kernel()),
        "lxc": dict(_lxc()),
        "base": _text(_BASE),
        "changed": _changed(),
    }


def _kernel() -> Iterator[tuple[str, str]]:
    # what is booted next: systemd-boot by proxmox-boot-tool, or GRUB
    for path in ("/proc/cmdline", "/etc/kernel/cmdline"):
        if line := (_text(path) or "").strip():
            yield path, line
    for path in ("/etc/default/grub", *_files("/etc/default/grub.d", "*.cfg")):
        if lines := _GRUB.findall(_text(path) or ""):
            yield path, "\n".join(lines)


def _lxc() -> Iterator[tuple[str, list[str]]]:
    for pattern in _INCLUDED:
        for path in _files(_CONFIG, pattern):
            if lines := [line.strip() for line in _LINE.findall(_text(path) or "")]:
                yield path, lines


def _changed() -> list[str] | None:
    """As dpkg(1) verifies them; packages that are not here make it fail, and it goes on."""
    ended = run(["dpkg", "--verify", *_PACKAGES])
    if ended.why:
        return None
    found = _CHANGED.findall(text(ended.out) or "")
    places = (f"{_CONFIG}/", "/etc/apparmor.d/")
    return sorted(path for path in found if path.startswith(places))


def _files(folder: str, pattern: str) -> list[str]:
    root = at("")
    return [path[len(root) :] for path in sorted(glob.glob(f"{at(folder)}/{pattern}"))][:_MOST]


def _text(path: str) -> str | None:
    try:
        data = read(at(path))
    except OSError:
        return None
    return None if data is None else text(data[:_LIMIT])
