"""Says on stderr what is being done and, for what takes longer, how long it has taken."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARTBEAT = 15.0
#: Seconds in which even a machine with much else to do shows that it goes on.
STALLED = 900.0

_name = "lab"


def call_it(name: str) -> None:
    """Begin each line with a name: two labs may be built on one terminal."""
    global _name
    _name = name


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"{_name}: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step, show that it is alive while it lasts, and say how long it took."""
    began = time.monotonic()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            say(f"  … {text}, {time.monotonic() - began:.0f} s so far")

    say(f"{text} …")
    ticker = threading.Thread(target=beat, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
    elapsed = time.monotonic() - began
    if elapsed >= 1:
        say(f"  {text}: {elapsed:.0f} s")


class Watch:
    """Tells when something has stood still for too long: *sign* gave the same all that time."""

    def __init__(self, sign: Callable[[], object], seconds: float = STALLED) -> None:
        self._sign = sign
        self._seconds = seconds
        self._last = sign()
        self._since = time.monotonic()

    def stalled(self) -> bool:
        """Look once more."""
        now = self._sign()
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        return time.monotonic() - self._since > self._seconds
