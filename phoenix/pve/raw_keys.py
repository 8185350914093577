"""The raw `lxc.*` keys of a fleet file: how they are written, and which ones open holes.

Raw keys bypass everything that Proxmox checks, so the fleet file may hold only those that take
effect and that `phoenix.pve.raw_classes` lists, and a reader is told what the dangerous ones do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from phoenix.pve.host_paths import plain
from phoenix.pve.keys import modern_key, raw_key_problem
from phoenix.pve.raw_classes import refusal
from phoenix.pve.values import check_value

# The line that pve-container reads: LXC/Config.pm parse_pct_config.
_LINE = re.compile(r"(lxc\.[a-z0-9_.-]+)(?::|\s*=)\s*(.*?)\s*", re.ASCII)

#: Keys of which a conf may hold several, each adding to the others; any other stands once.
#: Source: lxc, src/lxc/confile.c, the setters that append.
REPEATED_KEYS = (
    "lxc.apparmor.raw",
    "lxc.cap.",
    "lxc.cgroup2.devices.",
    "lxc.environment",
    "lxc.hook.",
    "lxc.idmap",
    "lxc.mount.entry",
)

# Families that Proxmox passes on and LXC (since 3.0) no longer knows.
_RENAMED_FAMILIES = {"lxc.limit.": "lxc.prlimit."}


@dataclass(frozen=True)
class RawKey:
    """One raw line of a container's conf, such as `lxc.mount.auto` with `sys:rw`.

    `value` has no blanks around it and no control characters; it may be empty, which in LXC
    clears what was set before.
    """

    key: str
    value: str

    @property
    def line(self) -> str:
        """The line as Proxmox itself writes it: `lxc.mount.auto: sys:rw`."""
        return f"{self.key}: {self.value}"


def parse_raw(text: str) -> RawKey:
    """Read `key=value`, `key = value`, `key: value` or `key:value`.

    Raises ValueError with what to write instead when Proxmox would drop the line, or would pass
    it on to an LXC that then refuses to start, or when no fleet file may set it
    (`phoenix.pve.raw_classes`). Control characters are the caller's to refuse.
    """
    text = text.strip()
    match = _LINE.fullmatch(text)
    if not match:
        raise ValueError(_why_not_a_line(text))
    raw = RawKey(match[1], match[2])
    if (new := _new_name(raw.key)) != raw.key:
        raise ValueError(f"LXC 3.0 renamed it and refuses the old name: write {new}")
    if reason := raw_key_problem(raw.key):
        raise ValueError(f"{reason} and drops this line: remove it")
    check_value(raw.key, raw.value)
    if reason := refusal(raw.key, raw.value):
        raise ValueError(reason)
    if raw.key == "lxc.mount.entry" and raw.value:
        _check_mount_entry(raw.value)
    return raw


def dangers(raw: RawKey) -> Iterator[str]:
    """Say what a raw key gives away, one sentence each; nothing for a harmless one.

    What needs the operator's word besides is said by `phoenix.fleet.permits`.
    """
    key, value = raw.key, raw.value
    words = value.split()
    if key in ("lxc.cgroup2.devices.allow", "lxc.cgroup.devices.allow") and words[:1] == ["a"]:
        yield "lets the container use every device of the host; name the ones it needs"
    elif key.startswith("lxc.cgroup."):
        yield "is cgroup v1 and does nothing on Proxmox VE 7 and later; use lxc.cgroup2"
    elif key == "lxc.cap.drop" and value in ("", "none"):
        yield "drops no capability: root keeps all of them inside"
    elif key == "lxc.cap.keep" and value:
        # LXC conf.c lxc_setup takes one of the two; common.conf drops, userns.conf takes it back
        yield "does not go with lxc.cap.drop, which Proxmox sets for privileged containers"
        if "," in value:
            yield "capabilities are separated by blanks; with commas LXC knows none of them"
    elif key == "lxc.mount.auto":
        yield from _auto_mount_dangers(words)
    elif key == "lxc.mount.entry":
        yield from _mount_entry_dangers(words)
    elif key == "lxc.apparmor.allow_incomplete" and value != "0":
        yield "starts the container also where the kernel enforces only part of the profile"


def _auto_mount_dangers(words: list[str]) -> Iterator[str]:
    if {"proc", "proc:rw"} & set(words):
        yield "mounts all of /proc writable, /proc/sys and sysrq-trigger included"
    if {"sys", "sys:rw"} & set(words):
        yield "mounts all of /sys writable"


def _mount_entry_dangers(words: list[str]) -> Iterator[str]:
    if len(words) < 2:
        return
    source, target = words[0], words[1].lstrip("/")
    if plain(target) == "/sys/module/apparmor/parameters/enabled":
        yield "hides AppArmor from Docker, which then confines nothing inside"
    elif source == "/dev/fuse":
        yield 'mounts /dev/fuse by hand; "fuse=1" in pct_options does it, device rule included'
    if words[1].startswith("/"):
        # LXC conf.c mount_entry_on_absolute_rootfs
        yield f"has an absolute target, which LXC ignores outside its rootfs path: write {target}"


def _check_mount_entry(value: str) -> None:
    words = value.split()
    if len(words) < 3:
        raise ValueError("an fstab line is expected: SOURCE TARGET TYPE OPTIONS")


def _new_name(key: str) -> str:
    for old, new in _RENAMED_FAMILIES.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return modern_key(key)


def _why_not_a_line(text: str) -> str:
    head = re.split(r"[\s:=]", text, maxsplit=1)[0]
    if not head.lower().startswith("lxc."):
        return "a raw key begins with lxc., as in lxc.mount.auto=sys:rw"
    if head != head.lower():
        return f"Proxmox knows lower case only: write {head.lower()}"
    return "write KEY=VALUE or KEY: VALUE, with no blank before the colon"
