"""The argument `--since` of the commands that read a node's log."""

from __future__ import annotations

import argparse
import time

from phoenix.plan.options import read_since
from phoenix.text.printable import printable


def since(text: str) -> int:
    """From when on, as `read_since` has it; nothing was logged yet at a time that is to come."""
    try:
        read = read_since(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(printable(str(error), 200)) from None
    if read > time.time():
        raise argparse.ArgumentTypeError(f"{printable(text)} is still to come")
    return read
