"""A program of ours in the network of a container: what listens there is asked from the node.

The program is given no name to look up, and runs outside of the guest but for its network. Who
answers is the guest: it is given a few bytes and a deadline.
"""

from __future__ import annotations

import os
import sys

from node import bounded, containers
from node.bounded import MISSING, Ended
from node.root import at


def run_in(
    ctid: int, program: str, *words: str, seconds: float, limit: int = 4096, own: bool = False
) -> Ended:
    """Run a Python program there; the rest as in `node.bounded.run`. Raises OSError.

    `own`: not where that is the network of the node itself, whose services are no guest's.
    """
    pid = containers.init_pid(ctid)
    space = None if pid is None else os.open(at(f"/proc/{pid}/ns/net"), os.O_RDONLY)
    if space is None:
        return Ended(None, err=b"it has no first process any more", why=MISSING)
    try:
        # its number may have become another's before we held its network
        if containers.init_pid(ctid) != pid:
            return Ended(None, err=b"its first process is another one now", why=MISSING)
        if own and os.path.samestat(os.fstat(space), os.stat(at("/proc/1/ns/net"))):
            return Ended(None, err=b"it has no network of its own, but the node's", why=MISSING)
        network = f"--net=/proc/{os.getpid()}/fd/{space}"
        client = [sys.executable, "-IS", "-c", program, *words]
        return bounded.run(["nsenter", network, "--", *client], seconds=seconds, limit=limit)
    finally:
        os.close(space)
