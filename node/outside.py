"""What works in a container, as far as that is told without entering it.

For one that is a program of its own (`phoenix.pve.application`) or has no shell to ask with: its
first process, and the TCP ports that are open in its network. All of it is the kernel's word.
"""

from __future__ import annotations

import os
import re

from node import containers
from node.bounded import MIB
from node.files import read, text
from node.root import at
from phoenix.pve.application import is_application

#: How the container's first process is called in what is told of it.
INIT = "init"

#: Why nothing can be told.
DOWN = "it does not run"

# proc_pid_net(5): local address, remote one, 0A: it listens
_LISTENS = re.compile(rb"^ *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A ", re.M)


def applies(ctid: int) -> bool:
    """Whether a container is a program of its own, by what it was last started with."""
    try:
        config = text(read(at(f"/var/lib/lxc/{ctid:d}/config"))) or ""
    except OSError:
        return False
    # lxc.container.conf(5): of several the last one counts
    commands = re.findall(r"^[ \t]*lxc\.init\.cmd[ \t]*=[ \t]*([^\n]*)$", config, re.MULTILINE)
    return is_application(commands[-1] if commands else "")


def works(ctid: int) -> str:
    """What works in it, in the form of templates/guest/works.sh; "" where it does not run."""
    pid = containers.init_pid(ctid)
    began = None if pid is None else containers.ticks(pid)
    if pid is None or began is None:
        return ""
    ports = (f"port {port} {INIT}" for port in sorted(_ports(pid)))
    lines = ("works 1", f"began {began}", f"unit active running {INIT}", f"boots {INIT}")
    return "\n".join((*lines, *ports, "end", ""))


def _ports(pid: int) -> set[int]:
    """The TCP ports on which somebody listens in the network of a process, if it has its own."""
    if _network(pid) == _network(1):
        return set()
    return {
        int(port, 16)
        for name in ("tcp", "tcp6")
        for port in _LISTENS.findall(_begin(f"/proc/{pid}/net/{name}"))
    }


def _network(pid: int) -> str:
    try:
        return os.readlink(at(f"/proc/{pid}/ns/net"))
    except OSError:
        return ""


def _begin(path: str) -> bytes:
    """A list's first MiB: those that listen stand before its connections."""
    try:
        with open(at(path), "rb") as file:
            return file.read(MIB)
    except OSError:
        return b""
