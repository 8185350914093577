"""A container's id, and values in its conf: which may be written, and when two say the same.

Packed into the node's program: Python 3.9 and the standard library.
"""

from __future__ import annotations

import re
import unicodedata

_BLANK_SEPARATED = ("lxc.mount.entry", "lxc.mount.auto", "lxc.cgroup", "lxc.idmap", "lxc.cap.")

LOWEST_CTID, HIGHEST_CTID = 100, 999_999_999
"""The ids that Proxmox gives to guests (PVE/JSONSchema.pm pve-vmid)."""


def check_ctid(ctid: object) -> None:
    """Raise ValueError for anything but a number that can be a container's."""
    if (
        not isinstance(ctid, int)
        or isinstance(ctid, bool)
        or not LOWEST_CTID <= ctid <= HIGHEST_CTID
    ):
        raise ValueError(f"{ctid!r} is not a CTID")


def check_value(key: str, value: str) -> None:
    """Raise ValueError if a value could become more than the value of its key.

    Refused: line ends and other control characters (a tab is fine), a leading `[` or `#`,
    and, where the value names paths to mount (`lxc.mount.*`, `mpN`, `devN`), a `..` in them.
    """
    # most values are: then none of their characters has to be looked at
    for char in "" if value.isprintable() else value:
        if unicodedata.category(char) in ("Cc", "Zl", "Zp") and char != "\t":
            raise ValueError(f"{key}: the value {value!r} holds the control character {char!r}")
    if value.lstrip().startswith(("[", "#")):
        raise ValueError(
            f"{key}: the value {value!r} starts with {value.lstrip()[0]!r}, "
            "like a section header or a comment"
        )
    if re.fullmatch(r"lxc\.mount\..*|mp\d+|dev\d+", key) and ".." in re.split(r"[\s/=,:]", value):
        raise ValueError(f"{key}: the value {value!r} climbs out of its path with '..'")


def same_raw_value(key: str, one: str, other: str) -> bool:
    """Do two values of a raw key say the same? Blank space between fields does not count.

    Source: lxc.container.conf(5); mount entries are lines of an fstab.
    """
    return normal_raw_value(key, one) == normal_raw_value(key, other)


def normal_raw_value(key: str, value: str) -> str:
    """A value of a raw key in the one form that all have which say the same."""
    if key.startswith(_BLANK_SEPARATED):
        return " ".join(re.findall(r"\S+", value, re.ASCII))
    return value.strip(" \t\r\n\f\v")
