"""What the files hold that confs bring in by `lxc.include`, in the order in which LXC reads them.

Only files of the node are read, owned by its root, and as much of them as anybody has. What lies in
a guest's disk is the guest's to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from node import containers
from node.files import open_regular, text
from node.reach import look
from node.root import at

#: The key that brings in a file, or each `*.conf` of a folder.
KEY = "lxc.include"
_HOLDING = re.compile(re.escape(KEY).encode())
#: How deep it goes, files of one include, bytes of each, and lines of all of them.
_DEPTH, _FILES, _BYTES, _LINES = 8, 50, 64 * 1024, 2000
#: Where guests' disks are: pve-storage names them so, and LXC mounts them there.
_GUESTS = re.compile(
    r"/(?:subvol|basevol|vm|base)-\d+-disk-[^/]*(?:/|$)|^/var/lib/lxc/[^/]+/(?:rootfs|delta)"
    r"|^/proc/"
)

#: A line of them: its file, its number from 1 on, key and value.
Line = tuple[str, int, str, str]


class _UnreadError(Exception):
    """Why not all of it was read, in words."""


def observe() -> dict[str, dict[str, Any]]:
    """By its value in a conf each include of this node's containers.

    `{"/etc/lxc/a": {"lines": [["/etc/lxc/a", 1, "lxc.mount.auto", "sys:rw"]], "why": ""}}`
    `lines`: those of `lxc.` keys, of files that these include at their place; `why`: why not all of
    it could be read.
    """
    return {value: follow(value) for value in sorted(set(_named()))}


def follow(value: str) -> dict[str, Any]:
    """What one include brings in, see above."""
    lines: list[Line] = []
    why = ""
    try:
        for line in _Reader().included(value, 0):
            lines.append(line)
    except _UnreadError as error:
        why = str(error)
    return {"lines": [[*line] for line in lines], "why": why}


def _named() -> Iterator[str]:
    for conf in containers.confs(_HOLDING):
        yield from filter(None, conf.main.raw(KEY))


class _Reader:
    """One include on its way through its files."""

    def __init__(self) -> None:
        self.files = self.lines = 0

    def included(self, value: str, depth: int) -> Iterator[Line]:
        """Its lines; lxc, src/lxc/confile.c set_config_includefiles, do_includedir.

        Raises _UnreadError, with what could be read said before.
        """
        # lxc-start runs in /
        path = os.path.join("/", value)
        if depth >= _DEPTH:
            raise _UnreadError(f"{path}: files that include files, more than {_DEPTH} deep")
        if not os.path.isdir(_real(path)):
            yield from self._file(path, depth)
            return
        try:
            # LXC takes them as the folder has them, in no order
            names = os.listdir(_real(path))
        except OSError as error:
            raise _UnreadError(f"{path}: {error.strerror}") from None
        for name in names:
            if name.endswith(".conf") and len(name) > len(".conf"):
                yield from self._file(f"{path.rstrip('/')}/{name}", depth)

    def _file(self, path: str, depth: int) -> Iterator[Line]:
        self.files += 1
        if self.files > _FILES:
            raise _UnreadError(f"{path}: more than {_FILES} files")
        for number, line in enumerate(_whole(path).split("\n"), 1):
            key, value = _split(line)
            if not key.startswith("lxc."):
                continue
            if key == KEY and value:
                yield from self.included(value, depth + 1)
                continue
            self.lines += 1
            if self.lines > _LINES:
                raise _UnreadError(f"{path}: more than {_LINES} lines")
            yield path, number, key, value


def _whole(path: str) -> str:
    """The text of a file. Raises _UnreadError."""
    try:
        file = open_regular(_real(path))
        if file is None:
            raise _UnreadError(f"{path}: no regular file")
        with file:
            data = file.read(_BYTES + 1)
    except OSError as error:
        raise _UnreadError(f"{path}: {error.strerror}") from None
    if len(data) > _BYTES:
        raise _UnreadError(f"{path}: longer than {_BYTES // 1024} KiB")
    return text(data) or ""


def _real(path: str) -> str:
    """Where a path of the node leads, if that is no guest's place. Raises _UnreadError."""
    if why := look([path])[path]:
        raise _UnreadError(f"{path}: {why}")
    root = at("")
    real = os.path.realpath(root + path)
    there = real[len(os.path.realpath(root or "/").rstrip("/")) :]
    if _GUESTS.search(path) or _GUESTS.search(there):
        raise _UnreadError(f"{path}: in a guest")
    below = real
    while len(below) > len(root) and below != "/":
        if os.lstat(below).st_uid not in (0, os.geteuid()):
            raise _UnreadError(f"{path}: not of the node's root")
        below = os.path.dirname(below)
    return real


def _split(line: str) -> tuple[str, str]:
    """Key and value of a line, lxc, src/lxc/confile.c parse_line; "" for one without."""
    key, equals, value = line.strip().partition("=")
    if not equals or key.startswith("#"):
        return "", ""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return key.strip(), value
