"""A log as it grows: auditd's file however it is rotated, or what journalctl writes."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import IO

from node import log_files, log_journal
from node.log_files import BLOCK, Lines, LogFile

#: So many seconds pass before journalctl is started again, where it has ended.
_PAUSE = 2

#: So many bytes before where we are show that it is still the same text: those of a line have its
#: time and number.
_KNOWN = 1024


class FileTail:
    """auditd's present file. Renamed, it is read to its end and then the new one; cut and written
    anew (`copytruncate`), what was copied is read there.
    """

    def __init__(self, at_end: bool) -> None:
        """`at_end`: nothing that is there already is of interest. Raises OSError."""
        self._file: IO[bytes] | None = None
        self._lines, self._known, self._at = Lines(), b"", 0
        #: Whether what comes may have come before.
        self.is_again = False
        logs = log_files.find() if at_end else []
        if logs:
            self._open(logs[-1])
            self._skip()

    def read(self, since: float) -> Iterator[str]:
        """What has come; `since`: from when on other files than this one may have something of
        it. Raises OSError.
        """
        yield from self._read_all(since) if self._file is None else self._read_on(since)
        if self._is_renamed():
            yield from self._read_on(since)
            yield from self._read_all(since)

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self, log: LogFile) -> None:
        self.close()
        self._file = log_files.opened(log)
        self._lines, self._known, self._at = Lines(), b"", 0

    def _skip(self) -> None:
        if self._file is not None:
            self._at = os.fstat(self._file.fileno()).st_size
            before = max(0, self._at - _KNOWN)
            self._known = os.pread(self._file.fileno(), self._at - before, before)

    def _read_all(self, since: float) -> Iterator[str]:
        logs = log_files.find()
        if logs:
            self.is_again = True
            yield from log_files.lines_of(log_files.written_since(logs, since)[:-1], [])
            self._open(logs[-1])
            yield from self._read_on(since)
            self.is_again = False

    def _read_on(self, since: float) -> Iterator[str]:
        while self._file is not None:
            # with what is known already, in one: it may be cut at any moment
            before = self._at - len(self._known)
            piece = os.pread(self._file.fileno(), BLOCK, before)
            if not piece.startswith(self._known):
                yield from self._read_all(since)
                return
            new = piece[len(self._known) :]
            if not new:
                return
            self._at, self._known = self._at + len(new), piece[-_KNOWN:]
            yield from self._lines.feed(new)

    def _is_renamed(self) -> bool:
        """Whether there is another one. auditd goes on with this one until it has that."""
        logs = log_files.find()
        inode = os.fstat(self._file.fileno()).st_ino if self._file is not None else None
        return inode is not None and bool(logs) and logs[-1].inode != inode


class JournalTail:
    """What journalctl writes; it is started again where it ends."""

    is_again = True

    def __init__(self, transport: str) -> None:
        self._transport, self._lines = transport, Lines()
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_until = 0.0

    def read(self, since: float) -> Iterator[str]:
        """What has come; `since`: from when on it is asked for. Raises OSError."""
        if self._process is None and time.monotonic() >= self._pause_until:
            self._pause_until = time.monotonic() + _PAUSE
            self._process, self._lines = log_journal.started(self._transport, since, True), Lines()
            if self._process.stdout is not None:
                os.set_blocking(self._process.stdout.fileno(), False)
        while piece := self._piece():
            yield from log_journal.as_audit_lines(self._transport, self._lines.feed(piece))

    def _piece(self) -> bytes:
        """What it has written, b"" for nothing; takes leave of it where it has ended."""
        if self._process is None or self._process.stdout is None:
            return b""
        try:
            piece = os.read(self._process.stdout.fileno(), BLOCK)
        except BlockingIOError:
            return b""
        if not piece:
            self.close()
        return piece

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._process = None
