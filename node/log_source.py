"""Which of a node's logs has what AppArmor refused: auditd's file, the journal, or the kernel's."""

from __future__ import annotations

import re

from node import log_files, log_journal
from node.bounded import run

#: As people are told of it, and as the journal calls what it has.
FILE, JOURNAL, KERNEL = "audit.log", "journal", "kernel log"
TRANSPORTS = {JOURNAL: log_journal.AUDIT, KERNEL: log_journal.KERNEL}

_INSTEAD = "apt install auditd has it all"


def choose() -> str:
    """The most complete one.

    An old audit.log stays behind where auditd is gone: the kernel then logs by itself, which goes
    by rates (measured: none of 300 lines). journald, where it listens to the kernel's audit, gets
    what it reads fast enough.
    """
    if run(["systemctl", "-q", "is-active", "auditd"], seconds=10).ok and log_files.find():
        return FILE
    return JOURNAL if log_journal.has_audit() else KERNEL


def missing(source: str) -> str:
    """What that log may lack, in words; "" for nothing."""
    if source == KERNEL:
        return f"the kernel leaves out what comes fast: {_INSTEAD}"
    if source == JOURNAL:
        return f"journald leaves out what comes faster than it reads: {_INSTEAD}"
    # what auditd was too slow for, or had no room for (auditctl(8), -s)
    said = run(["auditctl", "-s"], seconds=5).out
    lost = re.search(rb"^lost ([1-9][0-9]{0,18})$", said, re.MULTILINE)
    return f"since the node was booted {int(lost[1])} lines of audit were lost" if lost else ""
