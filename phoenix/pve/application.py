"""Containers that are one program: those that Proxmox VE makes of OCI images, since 9.1.

Such a one has an `entrypoint:` (or an `lxc.init.cmd:`) in its conf, often a user of its own
(`lxc.init.uid:`), and neither systemd nor, it may be, a shell: what works in it is told from the
node. Travels with the node's program: standard library of Python 3.9.
"""

from __future__ import annotations

import re
import shlex

# what starts services and waits for them, under the names of its packages; pve-container LXC.pm
# takes everything but /sbin/init for an application
_SYSTEM = re.compile(
    r"(?:/usr)?/s?bin/(?:init|systemd|openrc-init|runit-init)|(?:/usr)?/lib/systemd/systemd"
)


def program(command: str) -> str:
    """The program of a command as LXC reads it, "" for none.

    >>> program("'/docker-entrypoint.sh' nginx -g 'daemon off;'")
    '/docker-entrypoint.sh'
    """
    try:
        words = shlex.split(command)
    except ValueError:
        # an open quote
        words = command.split()
    return words[0] if words else ""


def is_application(command: str) -> bool:
    """Whether a container with this first command is one program, not a system.

    `command`: the last `lxc.init.cmd` with which it is started; "" for LXC's own, `/sbin/init`.

    >>> is_application("/sbin/init"), is_application("/app --port 80")
    (False, True)
    """
    first = program(command)
    return bool(first) and not _SYSTEM.fullmatch(first)
