"""Where a container's data shall lie on the node: ZFS datasets and folders.

Made where they are missing, and only then given their owner: what is there stays exactly as it is.
Nothing here is ever destroyed or removed, also where the container comes to nothing.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import PurePosixPath

from node.bounded import run
from node.create_request import Dataset, Folder, Owner
from node.files import text
from node.root import at

#: Of a dataset that is made and has not its owner yet: a power cut may come in between.
_NEW = "phoenix-harden:new"
_PATIENCE = 120
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class PlaceError(Exception):
    """Why one is not there, in words."""


def make_dataset(wanted: Dataset) -> bool:
    """Have the dataset. Gives whether it was made now. Raises PlaceError, OSError."""
    found = _properties(wanted.name)
    made = found is None
    if found is None:
        _create(wanted)
        found = _properties(wanted.name) or {}
    if not made and _NEW not in found:
        return False
    if wanted.owner:
        path = found.get("mountpoint", "")
        if found.get("mounted") != "yes" or not path.startswith("/"):
            raise PlaceError(f"{wanted.name} is not mounted: it has no root to give an owner")
        _own(at(path), wanted.owner)
    if _NEW in found:
        _zfs("inherit", _NEW, wanted.name)
    return True


def make_folder_of(wanted: Folder) -> bool:
    """Have the folder. Gives whether it was made now. Raises PlaceError, OSError."""
    path = at(wanted.path)
    if os.path.isdir(path):
        return False
    if os.path.lexists(path):
        raise PlaceError(f"{wanted.path} is there and is no folder")
    place = PurePosixPath(wanted.path)
    above = _above(place)
    try:
        # whenever the power goes, what is at its place has its owner
        new = f"{place.name}.phoenix-new"
        with suppress(FileNotFoundError):
            os.rmdir(new, dir_fd=above)
        # not through a link that somebody has put there
        os.mkdir(new, dir_fd=above)
        _own(new, wanted.owner, mode=0o755, above=above)
        os.rename(new, place.name, src_dir_fd=above, dst_dir_fd=above)
        os.fsync(above)
    finally:
        os.close(above)
    return True


def _above(path: PurePosixPath) -> int:
    """Open the folder above, made where it is missing; to be closed.

    Raises PlaceError where a link is on the way: a guest may have put it there, and Proxmox wants
    none in what it binds (pct(1), "Bind Mount Points").
    """
    folder = os.open(at("/"), os.O_RDONLY | os.O_DIRECTORY)
    for one in (*reversed(path.parents),)[1:]:
        try:
            made = _make(one.name, folder)
            below = os.open(one.name, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            why = f"{one} is a link or no folder; name the folder itself"
            raise PlaceError(f"{path} is not made: {why}") from None
        finally:
            os.close(folder)
        folder = below
        if made:
            os.fchmod(folder, 0o755)
    return folder


def _make(name: str, above: int) -> bool:
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:
        return False
    os.fsync(above)
    return True


def _create(wanted: Dataset) -> None:
    options = ["-o", f"{_NEW}=1"] if wanted.owner else []
    if wanted.quota:
        options += ["-o", f"quota={wanted.quota}"]
    # zfs-create(8): with -p those above are made as well, without these properties
    _zfs("create", "-p", *options, wanted.name)


def _properties(name: str) -> dict[str, str] | None:
    """What is asked of a dataset here, None where there is none; of ours, only what it has itself.

    Raises PlaceError where ZFS does not tell.
    """
    asked = ("property,value,source", f"type,mountpoint,mounted,{_NEW}")
    ended = run(["zfs", "get", "-Hp", "-o", *asked, name], seconds=_PATIENCE)
    said = text(ended.err) or ""
    if not ended.ok:
        if "does not exist" in said:
            return None
        raise PlaceError(f"zfs get {name}: {' '.join(said.split()) or 'no answer'}")
    rows = [line.split("\t") for line in (ended.text or "").split("\n")]
    found = {row[0]: row[1] for row in rows if len(row) == 3 and row[1] != "-"}
    inherits = all(row[2] != "local" for row in rows if len(row) == 3 and row[0] == _NEW)
    if inherits:
        found.pop(_NEW, None)
    if found.get("type") != "filesystem":
        raise PlaceError(f"{name} is there and is no file system")
    return found


def _zfs(*words: str) -> None:
    ended = run(["zfs", *words], seconds=_PATIENCE, merge=True)
    if not ended.ok:
        said = " ".join((text(ended.out or ended.err) or "").split())
        raise PlaceError(f"zfs {words[0]}: {said or 'no answer'}")


def _own(path: str, owner: Owner, mode: int | None = None, above: int | None = None) -> None:
    folder = os.open(path, _FOLDER, dir_fd=above)
    try:
        if mode is not None:
            os.fchmod(folder, mode)
        if owner:
            os.fchown(folder, *owner)
        os.fsync(folder)
    finally:
        os.close(folder)
