"""Says on stderr what is being done and, for what takes longer, how long it has taken."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT = 15.0


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


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
