"""The line of a terminal that moves while a run works."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

import gevent
from pyinfra.api import State
from pyinfra.api.state import BaseStateCallback
from typing_extensions import override

from phoenix.report.progress import Place, moving_line

#: Seconds between two looks of the line.
_EVERY = 1.0

#: pyinfra's own line says which nodes it waits for, and no more; "off" ends it.
_OF_PYINFRA = "PYINFRA_PROGRESS"


def columns() -> int:
    """The width of the terminal that stderr is; stdout may be a file."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


class Progress(BaseStateCallback):
    """Hears of a run's operations, and shows the one at hand with its time.

    `places`: by operation its place among those that take turns. What they took tells how long the
    others may take.
    """

    def __init__(
        self,
        stream: TextIO,
        columns: Callable[[], int] = columns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places: dict[str, Place] = {}
        self._stream, self._columns, self._clock = stream, columns, clock
        self._took: list[float] = []
        self._begun = 0.0
        self._moves: gevent.Greenlet | None = None

    @override
    def operation_start(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        self._begun = self._clock()
        name = ", ".join(sorted(state.get_op_meta(op_hash).names))
        self._moves = gevent.spawn(self._move, name, self.places.get(op_hash))

    @override
    def operation_end(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        if self._moves:
            self._moves.kill()
        if op_hash in self.places:
            self._took.append(self._clock() - self._begun)

    def _move(self, name: str, place: Place | None) -> None:
        while True:
            seconds = self._clock() - self._begun
            # a full line would wrap, and stay
            width = self._columns() - 1
            self._stream.write(moving_line(name, seconds, width, place, self._took) + "\r")
            self._stream.flush()
            # it waits in the buffer, so that whatever is written next clears the line first
            self._stream.write("\033[K")
            gevent.sleep(_EVERY)


def watch_progress(state: State) -> Progress | None:
    """Show the line instead of pyinfra's own; None where nobody watches, or asked for none."""
    if not sys.stderr.isatty() or os.environ.get(_OF_PYINFRA) == "off":
        return None
    os.environ[_OF_PYINFRA] = "off"
    progress = Progress(sys.stderr)
    state.add_callback_handler(progress)
    return progress
