"""What of the node itself takes confinement away from containers, whatever their confs say."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from typing import Any

from node.bounded import run
from node.files import read, text
from node.includes import follow
from node.root import at

_CONFIG = "/usr/share/lxc/config"
#: What LXC's profiles, and the one that it generates, are made of.
_BASE = "/etc/apparmor.d/abstractions/lxc/container-base"
#: Who brings those files: Proxmox's packages, and Debian's.
_PACKAGES = ("lxc-pve", "pve-container", "lxc", "liblxc-common", "lxcfs")

# what every container includes (LXC.pm update_lxc_config), by kind of guest; userns.conf: those
# that are unprivileged
_INCLUDED = ("*common.conf", "*userns.conf", "common.conf.d/*.conf", "userns.conf.d/*.conf")
_LINE = re.compile(r"^\s*lxc\.(?:apparmor|aa_|mount\.|include|cap\.|cgroup|hook\.).*", re.MULTILINE)
_INCLUDE = re.compile(r"lxc\.include\s*=\s*(\S.*)")
_GRUB = re.compile(r"^\s*(?:export\s+)?GRUB_CMDLINE_LINUX.*", re.MULTILINE)
_CHANGED = re.compile(r"^(?:missing|[^ ]{9}) +(?:. )?(/\S.*)$", re.MULTILINE)

#: Bytes of a file, and files of a kind: nobody has more.
_LIMIT, _MOST = 64 * 1024, 200


def observe() -> dict[str, Any]:
    """The kernel's lines, and LXC's files.

    - `kernel`: by its file each line that the kernel has now (`/proc/cmdline`) or at its next boot
    - `lxc`: by its file the lines of LXC's configuration that bear on confinement
      and of the files that these include
    - `unread`: by its value each include there that could not be read to its end, and why
    - `base`: the text of abstractions/lxc/container-base, null without one
    - `changed`: files of LXC that are not as their package has them; null if dpkg cannot tell
    """
    lxc = dict(_lxc())
    more, unread = _included(lxc)
    return {
        "kernel": dict(_kernel()),
        "lxc": {**more, **lxc},
        "unread": unread,
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


def _included(lxc: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What these lines include beside LXC's own folders: by file its lines, and what was not read.

    LXC's own include is of `common.conf.d` and the like, which are there already.
    """
    more: dict[str, list[str]] = {}
    unread: dict[str, str] = {}
    found = (_INCLUDE.fullmatch(line) for lines in lxc.values() for line in lines)
    for value in sorted({one[1] for one in found if one} - _own_folders()):
        include = follow(value)
        for path, _, key, said in include["lines"]:
            line = f"{key} = {said}".rstrip()
            if path not in lxc and _LINE.fullmatch(line):
                more.setdefault(path, []).append(line)
        if include["why"]:
            unread[value] = include["why"]
    return more, unread


def _own_folders() -> set[str]:
    """As LXC's configuration names them, of which each file was looked at."""
    folders = {f"{_CONFIG}/{name}.conf.d" for name in ("common", "userns")}
    return folders | {f"{folder}/" for folder in folders}


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
