"""archive - the node's own configuration as one archive on stdout; nothing is changed.

The first line is `{"sha256": DIGEST, "files": NUMBER, "left_out": [TEXT]}`, then comes the archive,
a tar.gz, as base64. In it are /etc/pve, without what is secret there (`priv` folders, private keys,
Ceph's keyrings) and what pmxcfs only shows of itself, and /etc/apparmor.d.

Exit: 0 done · 1 there is no such folder, or more in them than 64 MiB
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator

from node.bounded import MIB
from node.files import open_regular
from node.root import at
from node.say import Stop

_PVE = "/etc/pve"
_FOLDERS = (_PVE, "/etc/apparmor.d")
_LIMIT = 64 * MIB
_LINE = 48 * 1024


def main(_: list[str]) -> None:
    """Pack all of it, then print it."""
    for folder in _FOLDERS:
        if not os.path.isdir(at(folder)):
            raise Stop(1, f"{folder} is not there: nothing was archived")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        archive = _Archive(tar)
        for folder in _FOLDERS:
            archive.add(folder)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    head = {"sha256": digest, "files": archive.files, "left_out": archive.left_out}
    print(json.dumps(head))
    for start in range(0, len(data), _LINE):
        print(base64.b64encode(data[start : start + _LINE]).decode())


class _Archive:
    """The archive on its way: how many `files` it has, what was `left_out` and why."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.files = 0
        self.left_out: list[str] = []
        self._tar, self._left = tar, _LIMIT

    def add(self, path: str) -> None:
        """Add a file, a link, or a folder with all that is in it; `path`: as named on the node."""
        try:
            # tarfile has no entry of one
            if stat.S_ISSOCK(os.lstat(at(path)).st_mode):
                return
            entry = self._tar.gettarinfo(at(path), path[1:])
            # it takes the second name of a file for a link to the first
            if entry.isreg() or entry.islnk():
                self._add_file(path, entry)
            elif entry.issym():
                self._tar.addfile(entry)
            elif entry.isdir():
                self._tar.addfile(entry)
                for inner in _inside(path):
                    if inner.startswith(f"{_PVE}/") and inner.endswith(".keyring"):
                        self.left_out.append(f"{inner}: a secret")
                    else:
                        self.add(inner)
        except OSError as error:
            # what is removed meanwhile is not there
            if os.path.lexists(at(path)):
                self.left_out.append(f"{path}: {error.strerror}")

    def _add_file(self, path: str, entry: tarfile.TarInfo) -> None:
        file = open_regular(at(path))
        if file is None:
            return
        with file:
            data = file.read(self._left + 1)
        if len(data) > self._left:
            raise Stop(1, f"{' and '.join(_FOLDERS)} hold more than 64 MiB: nothing was archived")
        self._left -= len(data)
        self.files += 1
        # it may have grown
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", len(data)
        self._tar.addfile(entry, io.BytesIO(data))


def _inside(folder: str) -> Iterator[str]:
    """What is in a folder and may leave the node.

    pmxcfs shows its own state in dot files of /etc/pve itself; those further down are configuration
    (sdn/.running-config, pve-network PVE/Network/SDN.pm).
    """
    for name in sorted(os.listdir(at(folder))):
        path = f"{folder}/{name}"
        secret = name == "priv" or name.endswith(".key")
        shown = folder == _PVE and name.startswith(".")
        if not shown and not (secret and path.startswith(f"{_PVE}/")):
            yield path
