"""Running a program that cannot hold us up, fill us up or keep anything of ours.

It has a session of its own and three pipes, nothing else. It is given up at its deadline, whoever
holds those pipes open by then, and at the first byte beyond its limit.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from node.root import environment

MIB = 1024 * 1024

#: Why a program was given up; `MISSING`: it could not even be started.
TIME, SIZE, MISSING = "time", "size", "missing"


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code (a signal is negative), and what it printed.

    `why`: "" for one that came to its own end; else `TIME`, `SIZE` or `MISSING`, and `code` is
    None. Its output up to then is there all the same.
    """

    code: int | None
    out: bytes = b""
    err: bytes = b""
    why: str = ""

    @property
    def ok(self) -> bool:
        """It came to its own end and says that all is well."""
        return self.code == 0

    @property
    def text(self) -> str | None:
        """What it printed, None if that is no UTF-8."""
        try:
            return self.out.decode("utf-8")
        except UnicodeDecodeError:
            return None


def run(
    argv: Sequence[str],
    data: bytes = b"",
    seconds: float = 60,
    limit: int = MIB,
    merge: bool = False,
    ends_group: bool = False,
    progress: Callable[[], object] | None = None,
) -> Ended:
    """Run a program to its end or to the end of our patience. Raises nothing.

    `data`: what it reads; `limit`: bytes of each of its streams; `merge`: stderr goes where
    stdout goes; `ends_group`: its process group ends with it (given up, it does so anyway).
    `progress`: tells at the deadline how far it is; where that has changed since the last time, it
    has as many seconds again.
    """
    deadline, far = time.monotonic() + seconds, progress and progress()
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            env=environment(),
            cwd="/",
            umask=0o022,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        # ValueError: a NUL in one of its words
        return Ended(None, err=_words(argv[0], error), why=MISSING)
    streams, why = None, TIME
    try:
        streams = _Streams(process, data, limit)
        why = streams.pump(deadline)
        while why == TIME and progress and (now := progress()) != far:
            deadline, far = time.monotonic() + seconds, now
            why = streams.pump(deadline)
    except OSError as error:
        # no descriptor is left for watching it
        return Ended(None, err=_words(argv[0], error), why=MISSING)
    finally:
        # also where we are interrupted
        _end(process, whole=bool(why) or ends_group)
        if streams is not None:
            streams.close()
    return Ended(None if why else process.returncode, bytes(streams.out), bytes(streams.err), why)


def _words(program: str, error: Exception) -> bytes:
    return f"{program}: {getattr(error, 'strerror', None) or error}".encode(errors="replace")


def _ended_when_readable(pid: int) -> int:
    """A descriptor that can be read once a child has ended. Raises OSError."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        # gevent waits for every child of a process that has imported pyinfra: it has ended already
        ended, other = os.pipe()
        os.close(other)
        return ended


def _end(process: subprocess.Popen[bytes], whole: bool) -> None:
    """Take leave of it; `whole`: nothing of its process group stays."""
    if whole:
        # it has not been waited for yet, so its number is still its own
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    # one that the kernel does not let go of is left to it
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)


class _Streams:
    """The three pipes of a process, none of which ever blocks us."""

    def __init__(self, process: subprocess.Popen[bytes], data: bytes, limit: int) -> None:
        """Raises OSError."""
        self.process, self.left, self.limit = process, memoryview(data), limit
        self.out, self.err = bytearray(), bytearray()
        self.selector = selectors.DefaultSelector()
        self.pidfd = _ended_when_readable(process.pid)
        self.selector.register(self.pidfd, selectors.EVENT_READ)
        self.sinks: dict[int, bytearray] = {}
        for stream, sink in ((process.stdout, self.out), (process.stderr, self.err)):
            if stream is not None:
                self.sinks[stream.fileno()] = sink
                self._watch(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            if data:
                self._watch(process.stdin, selectors.EVENT_WRITE)
            else:
                process.stdin.close()

    def _watch(self, stream: IO[bytes], event: int) -> None:
        os.set_blocking(stream.fileno(), False)
        self.selector.register(stream.fileno(), event)

    def pump(self, deadline: float) -> str:
        """Move bytes until the process has ended; gives why it has not."""
        while (patience := deadline - time.monotonic()) > 0:
            ready = [key.fd for key, _ in self.selector.select(patience)]
            for fd in ready:
                if fd in self.sinks:
                    if not self._read(fd):
                        return SIZE
                elif fd != self.pidfd:
                    self._write(fd)
            if self.pidfd in ready:
                # what it has said is in its pipes by now; who else holds them is not waited for
                return "" if all(self._drain(fd) for fd in list(self.sinks)) else SIZE
        return TIME

    def _read(self, fd: int) -> bool:
        """Take what is there; False beyond the limit."""
        try:
            piece = os.read(fd, 65536)
        except BlockingIOError:
            return True
        sink = self.sinks[fd]
        if not piece:
            self.selector.unregister(fd)
            del self.sinks[fd]
        room = self.limit - len(sink)
        sink += piece[:room]
        return len(piece) <= room

    def _drain(self, fd: int) -> bool:
        """Take what is left in the pipe; False beyond the limit."""
        sink = self.sinks[fd]
        while fd in self.sinks:
            before = len(sink)
            if not self._read(fd):
                return False
            if len(sink) == before:
                break
        return True

    def _write(self, fd: int) -> None:
        try:
            self.left = self.left[os.write(fd, self.left[:65536]) :]
        except BlockingIOError:
            return
        except OSError:
            # it does not want the rest
            self.left = self.left[:0]
        if not self.left and self.process.stdin:
            self.selector.unregister(fd)
            self.process.stdin.close()

    def close(self) -> None:
        """Let go of everything."""
        self.selector.close()
        os.close(self.pidfd)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
