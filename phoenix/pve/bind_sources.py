"""Which paths of the node a container's conf mounts into it.

Packed into the node's program: Python 3.9 and the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phoenix.pve.conf import PveConf

_MOUNT_POINT = re.compile(r"rootfs|mp[0-9]+")
#: Of the kernel itself: those always answer.
_KERNELS = ("/dev/", "/proc/", "/sys/")


def bind_sources(conf: PveConf) -> tuple[str, ...]:
    r"""The folders and files of the node that a start looks at, each once, in the conf's order.

    Sources: pve-container `LXC.pm __mountpoint_mount`; lxc, src/lxc/conf.c mount_entry.

    >>> bind_sources(PveConf("mp0: /mnt/nas,mp=/nas\nmp1: local:910/vm-910-disk-1.raw,mp=/a\n"))
    ('/mnt/nas',)
    """
    found = (path for path in _sources(conf) if path.startswith("/"))
    return tuple(dict.fromkeys(path for path in found if not f"{path}/".startswith(_KERNELS)))


def _sources(conf: PveConf) -> Iterator[str]:
    for key in conf.main:
        if _MOUNT_POINT.fullmatch(key):
            words = (conf.main[key] or "").split(",")
            named = [word[len("volume=") :] for word in words if word.startswith("volume=")]
            yield from named or words[:1]
    for value in conf.main.raw("lxc.mount.entry"):
        yield plain_field(value.split(" ")[0])


def plain_field(field: str) -> str:
    r"""Undo the octal escapes of an fstab or of mountinfo: `\040` is a blank."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
