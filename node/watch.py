"""watch - one line for each running container that does not carry the label that is wanted of it.

phoenix-harden-watch.timer runs it every five minutes; what it prints goes to the system's journal,
<4> is a warning there (sd-daemon(3)). The wanted labels come from /var/lib/phoenix-harden/wanted,
one a line: CTID LABEL.

Exit: 0, whatever it found
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress

from node.containers import init_pid, label, started
from node.files import read, text
from node.root import STATE, at
from node.say import say
from phoenix.apparmor.observed import Label
from phoenix.text.printable import printable

#: Seconds that a first process may be lxc-start; a guest can call its own init so, too.
_STARTING = 60

_LINE = re.compile(r"([1-9][0-9]{2,8}) (\S.* \([a-z]+\))")


def main(_: list[str]) -> None:
    """Look at each container that has a line."""
    for number, line in enumerate((text(read(f"{STATE}/wanted")) or "").splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            say(f"<4>line {number} of {STATE}/wanted is not understood: harden writes it anew")
        else:
            _look(int(found[1]), Label.parse(found[2]))


def _look(ctid: int, wanted: Label) -> None:
    pid = init_pid(ctid)
    if pid is None or _is_starting(pid):
        return
    said = label(pid)
    if said is None:
        return
    found = Label.parse(said)
    if found.matches(wanted) and found.mode == wanted.mode:
        return
    # the guest names what is in its half
    name = printable(str(found), limit=300)
    say(f"<4>CT {ctid} runs as {name}, not as {wanted}: harden --data only={ctid} confines it")


def _is_starting(pid: int) -> bool:
    """Until its init runs it is lxc-start itself, under that one's label; that takes a moment."""
    began = started(pid)
    if began is not None and time.time() - began > _STARTING:
        return False
    with suppress(OSError):
        return os.readlink(at(f"/proc/{pid}/exe")).endswith("/lxc-start")
    return False
