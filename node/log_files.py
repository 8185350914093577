"""auditd's own files: the present one and those that were rotated, compressed ones too."""

from __future__ import annotations

import gzip
import os
import re
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from node.files import open_regular, read, text
from node.root import at
from phoenix.apparmor.audit_line import LONGEST, read_time

#: Where they are unless auditd.conf says something else.
_PRESENT = "/var/log/audit/audit.log"
_CONF = "/etc/audit/auditd.conf"

#: What one file may be once it is unpacked, and how long unpacking all of them may take: what
#: containers have the log say may be written to be small.
_MOST_UNPACKED, _PATIENCE = 1024**3, 120

# how auditd and logrotate call what they have rotated: audit.log.1, audit.log-20261122.gz; a copy
# that somebody made (audit.log.bak) has lines that are counted already
_ROTATED = re.compile(r"(?:[.-][0-9][0-9.:_T-]*)?(?:\.(?:gz|bz2|xz|zst|lz4))?")

# so many lines without a time are passed over
_TIMELESS = 100

#: So much is read at once.
BLOCK = 256 * 1024


@dataclass(frozen=True)
class LogFile:
    """One of them, as it was when it was looked for; `written`: when last."""

    path: str
    written: float
    inode: int
    size: int

    @property
    def name(self) -> str:
        """As people are told of it."""
        return os.path.basename(self.path)


def present() -> str | None:
    """The file that auditd writes to, None where it is told to write none (auditd.conf(5))."""
    try:
        conf = text(read(at(_CONF))) or ""
    except OSError:
        conf = ""
    settings = dict(re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(\S+)", conf, re.MULTILINE))
    is_off = settings.get("write_logs") == "no" or settings.get("log_format") == "NOLOG"
    return None if is_off else at(settings.get("log_file", _PRESENT))


def find() -> list[LogFile]:
    """All of them, the oldest first, the present one last; none where nothing is in any.

    One that is still being compressed is there twice: the compressed one is left out.
    """
    path = present()
    folder, name = os.path.split(path or "")
    try:
        names = {one for one in os.listdir(folder) if _is_log(one, name)} if path else set()
    except OSError:
        names = set()
    names = {one for one in names if os.path.splitext(one)[0] not in names or not _packed(one)}
    found = [log for one in names if (log := _log_file(os.path.join(folder, one)))]
    # right after a rotation the present one is empty
    found = [log for log in found if log.size or log.path == path]
    found.sort(key=lambda log: (log.path == path, log.written))
    return found if any(log.size for log in found) else []


def written_since(logs: Sequence[LogFile], since: float) -> list[LogFile]:
    """Those that may have lines from then on; the present one always may."""
    return [*(log for log in logs[:-1] if log.written >= since), *logs[-1:]]


def _log_file(path: str) -> LogFile | None:
    with suppress(OSError):
        about = os.lstat(path)
        if stat.S_ISREG(about.st_mode):
            return LogFile(path, about.st_mtime, about.st_ino, about.st_size)
    return None


def _is_log(name: str, present: str) -> bool:
    return name.startswith(present) and bool(_ROTATED.fullmatch(name[len(present) :]))


def _packed(name: str) -> bool:
    return name.endswith((".gz", ".bz2", ".xz", ".zst", ".lz4"))


def is_readable(log: LogFile) -> bool:
    """Whether it is a text, or compressed in the way of logrotate."""
    return log.path.endswith(".gz") or not _packed(log.path)


def first_time(logs: Sequence[LogFile]) -> float:
    """When the oldest of them begins, in seconds since the epoch; 0 where that does not show.

    It may begin with a part of a line, or be damaged: then it is the first line with a time.
    """
    for log in filter(is_readable, logs):
        with suppress(OSError, EOFError, zlib.error):
            file = opened(log)
            if file is not None:
                with file, _unpacked(log, file) as plain:
                    for _ in range(_TIMELESS):
                        line = plain.readline(LONGEST).decode("utf-8", "replace")
                        if time_of := read_time(line):
                            return time_of
    return 0.0


def lines_of(logs: Iterable[LogFile], problems: list[str]) -> Iterator[str]:
    """Their lines (see `Lines`); what could not be read is added to `problems`, in words."""
    deadline = time.monotonic() + _PATIENCE
    for log in logs:
        if not is_readable(log):
            problems.append(f"{log.name} is not read: only .gz is")
            continue
        try:
            if file := opened(log):
                with file:
                    yield from apparmor_lines(_pieces(log, file, deadline, problems))
        except (OSError, EOFError, zlib.error):
            problems.append(f"{log.name} is damaged")


def opened(log: LogFile) -> IO[bytes] | None:
    """The file, whatever it is called by now; None where it has gone. Raises OSError."""
    folder = os.path.dirname(log.path)
    for path in (log.path, *(os.path.join(folder, name) for name in sorted(os.listdir(folder)))):
        file = open_regular(path)
        if file is not None:
            if os.fstat(file.fileno()).st_ino == log.inode:
                return file
            file.close()
    return None


class Lines:
    """The lines that may be AppArmor's, or auditd's about itself, of a text in pieces of any size.

    Those that are longer than any of the kernel's are not of interest, whoever wrote them.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[str]:
        """The lines that end in the next piece."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        # enough to see that it is too long
        self._rest = self._rest[: LONGEST + 1]
        return _of_interest(whole)

    def end(self) -> Iterator[str]:
        """The last one, where that has no end."""
        return _of_interest([self._rest])


def apparmor_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """All of them in these pieces."""
    lines = Lines()
    for piece in pieces:
        yield from lines.feed(piece)
    yield from lines.end()


def _of_interest(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        if (b"apparmor=" in line or b"type=DAEMON_" in line) and len(line) <= LONGEST:
            yield line.decode("utf-8", "replace")


def _unpacked(log: LogFile, file: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
    return gzip.GzipFile(fileobj=file) if log.path.endswith(".gz") else file


def _pieces(log: LogFile, file: IO[bytes], deadline: float, problems: list[str]) -> Iterator[bytes]:
    plain, read_so_far = _unpacked(log, file), 0
    while piece := plain.read(BLOCK):
        read_so_far += len(piece)
        if plain is not file and (read_so_far > _MOST_UNPACKED or time.monotonic() > deadline):
            problems.append(f"{log.name} is read in part: it is too large once unpacked")
            return
        yield piece
