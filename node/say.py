"""What the node tells the operator: printable lines, whoever they come from."""

from __future__ import annotations

import os
import sys

from phoenix.text.printable import printable


class Stop(Exception):  # noqa: N818  it may be a good end
    """The end of a verb: its exit code, and what the operator is told, if anything."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text)
        self.code, self.text = code, text


def say(text: str, ctid: int | None = None) -> None:
    """Print lines to the operator, each with its container; nobody may be listening any more."""
    about = "" if ctid is None else f"CT {ctid}: "
    try:
        for line in text.split("\n"):
            print(f"{about}{printable(line, limit=None)}", flush=True)
    except BrokenPipeError:
        # that is no failure, and must not become one when Python flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
