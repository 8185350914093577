"""try-etc-pve - write a small file beside this node's confs, and take it away again.

Whether /etc/pve takes changes is seen before, as far as looking tells (`node.etc_pve`). But after a
write that did not reach its database pmxcfs refuses all others, and shows nothing of it (memdb.c):
so a run that would install something before its first conf tries. What one leaves that is killed in
between is taken away by the next one.

Exit: 0 it takes changes · 1 it does not, the last line says why; nothing is left there
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from node.conf import stop, write_for_pmxcfs
from node.files import read
from node.root import at
from node.say import Stop

_FOLDER, _NAME = "/etc/pve/lxc", "phoenix-harden.tmp."
_DATA = b"a run of phoenix-harden tries whether this can be written: it may be removed\n"


def main(_: list[str]) -> None:
    """Write it, read it back, remove it."""
    # whoever ends it shall leave nothing there
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    # no name of a container's conf, and none of Proxmox's own
    path = at(f"{_FOLDER}/{_NAME}{os.getpid()}")
    try:
        _sweep()
        try:
            write_for_pmxcfs(path, _DATA)
            if read(path) != _DATA:
                raise Stop(1, "/etc/pve does not keep what is written there: nothing was changed")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        raise Stop(
            1,
            f"/etc/pve takes no changes ({error.strerror}), nothing was changed: see pvecm status, "
            "and the journal of pve-cluster",
        ) from None


def _sweep() -> None:
    """Remove what a kill has left of an earlier one: its process is no more."""
    for name in os.listdir(at(_FOLDER)):
        pid = name[len(_NAME) :]
        if name.startswith(_NAME) and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            with suppress(FileNotFoundError):
                os.unlink(at(f"{_FOLDER}/{name}"))
