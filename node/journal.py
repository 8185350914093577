"""Writing a run's journal; what a line may hold says `phoenix.runs.journal`, which reads it."""

from __future__ import annotations

import errno
import os
import time
from typing import Union

from node.files import make_folder, read, sync_folder
from node.state import RunFolder, prepare
from phoenix.runs import journal

Value = Union[str, int]


class Journal:
    """The journal of one run; each line is on disk when `write` returns."""

    def __init__(self, folder: RunFolder) -> None:
        """Name it; it is made with its first line."""
        self.folder = folder
        self.path = f"{folder.path}/journal.jsonl"

    def write(self, event: str, **keys: Value) -> None:
        """Add a line. Raises OSError, and JournalError for one that could not be read again."""
        line = journal.entry(event, time=_now(), **keys)
        if event != "begin" and not self.text():
            self.begin()
        self._append(line)

    def begin(self, undoes: str = "") -> None:
        """Open it; `undoes`: the run that this one rolls back."""
        prepare()
        make_folder(self.folder.path)
        keys: dict[str, Value] = {"format": journal.FORMAT}
        if undoes:
            keys["undoes"] = undoes
        self._append(journal.entry("begin", time=_now(), **keys))
        sync_folder(self.folder.path)

    def read(self) -> journal.RunRecord:
        """What it says. Raises JournalError where it does not fit; OSError."""
        return journal.read_journal(self.folder.run, self.text())

    def text(self) -> str:
        """All of it, "" without one."""
        return (read(self.path) or b"").decode("utf-8", "surrogateescape")

    def drop_cut_line(self) -> None:
        """Take away a last line that a crash has cut short: what follows shall begin a new one."""
        data = read(self.path) or b""
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            with open(self.path, "r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())

    def _append(self, line: str) -> None:
        made = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        data, before = line.encode("ascii") + b"\n", os.fstat(made).st_size
        try:
            # a disk that has just become full takes a part of it without a word
            if os.write(made, data) != len(data):
                os.ftruncate(made, before)
                os.fsync(made)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            os.fsync(made)
        finally:
            os.close(made)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
