"""Files of the node: read whole, replaced at once, on disk before anybody says so."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from typing import IO

#: The digest of what is not there.
NONE = "none"


def digest(data: bytes | None) -> str:
    """The SHA-256 of a file's bytes, `none` of one that is not there."""
    return NONE if data is None else hashlib.sha256(data).hexdigest()


def read(path: str) -> bytes | None:
    """The bytes of a file, None if there is none. Raises OSError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_regular(path: str) -> IO[bytes] | None:
    """Open a regular file, None if it is none; no link is followed, and nothing can make us wait.

    Raises OSError where it cannot be read.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        return None
    return os.fdopen(opened, "rb")


def names_in(path: str) -> list[str]:
    """The names in a folder but those that begin with a dot, none where it cannot be read."""
    try:
        return sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError:
        return []


def text(data: bytes | None) -> str | None:
    """Bytes as a text that JSON can carry and `raw` turns back, byte for byte."""
    return None if data is None else data.decode("utf-8", "surrogateescape")


def raw(text: str) -> bytes:
    """The bytes of such a text."""
    return text.encode("utf-8", "surrogateescape")


def sync_folder(path: str) -> None:
    """Have the names in a folder on disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file anew and have it on disk; no link is followed. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(made, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())


def replace(path: str, data: bytes, suffix: str, mode: int = 0o644, anew: bool = False) -> None:
    """Put a file in place by a rename, with its name on disk.

    Raises OSError; the old one stays then, unless it is only that the name does not reach the disk.
    `suffix`: of the new one until then, by which whoever reads the folder passes over it. One that
    is there keeps its owner and mode, unless it is made `anew`.
    """
    new = path + suffix
    try:
        was = None if anew else os.stat(path)
    except FileNotFoundError:
        was = None
    try:
        write(new, data, mode if was is None else stat.S_IMODE(was.st_mode))
        if was is not None:
            os.chown(new, was.st_uid, was.st_gid)
        os.rename(new, path)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise
    sync_folder(os.path.dirname(path))


def make_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and those above it, and have their names on disk. Raises OSError."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folder(above, mode)
    with suppress(FileExistsError):
        os.mkdir(path, mode)
        os.chmod(path, mode)
    sync_folder(above)
