"""restart CTID SECONDS - restart a container if it runs: shut down within SECONDS, else stopped.

In a transient unit, so that losing the operator does not leave it stopped.

Exit: 0 it runs again, or did not run · 1 it does not: the last line says what to do
"""

from __future__ import annotations

import os
import re

from node.bounded import Ended, run
from node.files import read, text
from node.root import at
from node.say import Stop, say

#: Seconds for what Proxmox does by itself; a start waits for storage and hooks.
_PATIENCE = 600


def main(words: list[str]) -> None:
    """Restart it."""
    restart(int(words[0]), int(words[1]))


def restart(ctid: int, seconds: int) -> None:
    """Restart it if it runs. Raises Stop(1) with what to tell; what is done is told."""
    found = state(ctid)
    if found == "stopped":
        say("does not run: nothing to restart", ctid)
        return
    if found != "running":
        raise _end(ctid, f"its state is not known: nothing was done: try pct status {ctid}")
    stop(ctid, seconds)
    start(ctid)
    say("restarted", ctid)


def stop(ctid: int, seconds: int) -> None:
    """Shut it down within so many seconds, else stop it, 0: at once. Raises Stop(1)."""
    # what it is afterwards counts, not what pct returns: it can fail after the work is done
    if seconds:
        _pct("shutdown", ctid, "--timeout", f"{seconds}", patience=seconds + 60)
    if not seconds or state(ctid) != "stopped":
        if seconds:
            say(f"did not shut down within {seconds} s: stopping it", ctid)
        _pct("stop", ctid)
        if state(ctid) != "stopped":
            raise _end(ctid, f"cannot be stopped and goes on as it was: try pct stop {ctid}")


def start(ctid: int) -> None:
    """Start it. Raises Stop(1) where it does not run then."""
    _pct("start", ctid)
    if state(ctid) != "running":
        raise _end(ctid, f"is stopped and does not start: try pct start {ctid} --debug")


def state(ctid: int) -> str:
    """What Proxmox says of it, `running` or `stopped`; "" where that is not known.

    Looked up where Proxmox does: a container runs while LXC's process for it listens on its command
    socket (pve-container LXC.pm, `list_active_containers` and `vmstatus`). `pct status` says no
    more, and takes a second; it is asked where that cannot be looked up.
    """
    try:
        sockets = read(at("/proc/net/unix"))
    except OSError:
        sockets = None
    # of one without a conf here pct knows nothing either, and says why
    if not sockets or not os.path.exists(at(f"/etc/pve/lxc/{ctid:d}.conf")):
        return _asked(ctid)
    listens = rb"^[0-9a-f]+:(?:[ \t]+\S+){6}[ \t]+@/var/lib/lxc/%d/command$" % ctid
    return "running" if re.search(listens, sockets, re.MULTILINE) else "stopped"


def _asked(ctid: int) -> str:
    ended = run(["pct", "status", f"{ctid:d}"], seconds=60)
    found = re.search(r"^status: ([a-z]+)$", ended.text or "", re.MULTILINE)
    return found[1] if found else ""


def _pct(verb: str, ctid: int, *words: str, patience: float = _PATIENCE) -> Ended:
    """Have pct do it, and tell what it says; no guest has a word in that."""
    ended = run(["pct", verb, f"{ctid:d}", *words], seconds=patience, merge=True)
    said = (text(ended.out or ended.err) or "").rstrip("\n")
    if said:
        say(said)
    return ended


def _end(ctid: int, why: str) -> Stop:
    return Stop(1, f"CT {ctid}: {why}")
