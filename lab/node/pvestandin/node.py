"""Paths, errors and small file moves: what every part of the stand-in needs of its node."""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

ROOT = os.environ.get("PCT_ROOT", "/").rstrip("/")


class PctError(Exception):
    """Ends the command: its text goes to stderr, its code becomes the exit code."""

    def __init__(self, text: str, code: int = 255) -> None:
        super().__init__(text)
        self.code = code


def path(node_path: str) -> str:
    """Where a path of the node lies, below PCT_ROOT in tests."""
    return ROOT + node_path


def name() -> str:
    """The node's name, as it appears in messages."""
    return (read(path("/etc/hostname")) or b"").decode().strip() or os.uname().nodename


def read(file: str) -> bytes | None:
    """A file's bytes, None if it is not there."""
    try:
        with open(file, "rb") as handle:
            return handle.read()
    except OSError:
        return None


def replace(file: str, content: bytes, mode: int = 0o644) -> None:
    """Write `file.tmp.PID` beside the file and rename it, as PVE::Tools::file_set_contents does."""
    temporary = f"{file}.tmp.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as handle:
            handle.write(content)
        os.rename(temporary, file)
    except OSError:
        os.unlink(temporary)
        raise


def warn(text: str) -> None:
    """A warning: stderr, or stdout in a command that the real pct runs as a task (see cli)."""
    stream = warn_stream()
    stream.flush()
    stream.buffer.write(f"{text}\n".encode("utf-8", "surrogateescape"))
    stream.flush()


_in_task = False


def enter_task() -> None:
    """From here on warnings go where a task's output goes: stdout."""
    global _in_task
    _in_task = True


def in_task() -> bool:
    """Does the real pct run this as a task, whose failure is always 255?"""
    return _in_task


def warn_stream() -> TextIO:
    """The stream that warnings go to."""
    return sys.stdout if _in_task else sys.stderr


def running() -> set[str]:
    """CTIDs whose LXC monitor listens (its abstract socket), as PVE::LXC lists them."""
    sockets = (read(path("/proc/net/unix")) or b"").decode(errors="replace")
    return set(re.findall(r" @/var/lib/lxc/(\d+)/command$", sockets, re.MULTILINE))
