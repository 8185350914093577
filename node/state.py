"""Our own folder on the node: root's alone, whoever comes first; and the lock in it."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from node.files import NONE, digest, make_folder, read, sync_folder, write
from node.root import RUNS, STATE, at
from node.say import Stop, say
from phoenix.runs.outcome import EXIT, Ending
from phoenix.runs.record import check_run_id


def prepare() -> None:
    """Make our folder, or take from others what an earlier version gave them. Raises OSError."""
    make_folder(at(STATE))
    os.chmod(at(STATE), 0o700)


def named(words: list[str]) -> tuple[RunFolder, int]:
    """The run and the container that are named. Raises Stop for what are none."""
    try:
        run, ctid = words
        if not re.fullmatch(r"[1-9][0-9]{2,8}", ctid):
            raise ValueError(f"{ctid!r} is not a CTID")
        return RunFolder(run), int(ctid)
    except ValueError as error:
        raise Stop(EXIT[Ending.REFUSED], f"refused: {error}") from None


def each(words: list[str]) -> list[list[str]]:
    """RUN CTID for each of RUN CTID..."""
    return [[*words[:1], ctid] for ctid in words[1:]] or [words]


@contextmanager
def lock(who: str, patience: float = 600, ctid: int | None = None) -> Iterator[None]:
    """Be the only one that works on this node's containers; `who`: told to those that wait.

    `ctid`: the container that this is about, named in what is said.

    The descriptor is never handed on. Raises Stop(2) after `patience` seconds.
    """
    prepare()
    held = os.open(at(f"{STATE}/lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(held, 0o600)
        _take(held, patience, ctid)
        os.ftruncate(held, 0)
        os.pwrite(held, f"{who}\n".encode(), 0)
        yield
    finally:
        os.close(held)


def _take(held: int, patience: float, ctid: int | None) -> None:
    deadline, told = time.monotonic() + patience, False
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(held, 200, 0).decode("ascii", "replace").strip() or "another run"
        if time.monotonic() >= deadline:
            about = "" if ctid is None else f"CT {ctid}: "
            long = f"for more than {patience / 60:.0f} minutes"
            raise Stop(2, f"{about}refused: {holder} works on this node {long}: try again later")
        if not told:
            say(f"waits for {holder}", ctid)
            told = True
        time.sleep(0.2)


class RunFolder:
    """The folder of one run: what it staged, kept and wrote down."""

    def __init__(self, run: str) -> None:
        """Name it. Raises ValueError for what is no run id."""
        self.run = check_run_id(run)
        self.path = at(f"{RUNS}/{run}")

    def keep(self, data: bytes) -> str:
        """Have a before-image of the node on disk, under its digest; gives that."""
        return self._keep(f"{self.path}/files", data)

    def keep_guest(self, ctid: int, data: bytes) -> str:
        """The same for a file of a guest, which lies apart from the node's own."""
        return self._keep(f"{self.path}/guest/{ctid:d}", data)

    def kept(self, sha: str) -> bytes:
        """A before-image of the node. Raises OSError, or ValueError if it is not what it was."""
        return self._kept(f"{self.path}/files", sha)

    def kept_guest(self, ctid: int, sha: str) -> bytes:
        """The same for a file of a guest; older runs had one store for both."""
        own = f"{self.path}/guest/{ctid:d}"
        return self._kept(own if os.path.exists(f"{own}/{sha}") else f"{self.path}/files", sha)

    def staged(self, ctid: int, name: str) -> str:
        """The path of a staged file of a container."""
        return f"{self.path}/{ctid:d}/{name}"

    def _keep(self, folder: str, data: bytes) -> str:
        make_folder(folder)
        sha = digest(data)
        write(f"{folder}/{sha}", data)
        sync_folder(folder)
        return sha

    def _kept(self, folder: str, sha: str) -> bytes:
        data = read(f"{folder}/{sha}")
        if data is None or sha == NONE or digest(data) != sha:
            raise ValueError(f"what was there before is not whole in {folder}")
        return data
