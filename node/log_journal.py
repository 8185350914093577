"""Audit lines where auditd does not write them: in the journal, as journald or the kernel has them.

journald may listen to the kernel's audit itself and then has all fields of a line apart (systemd,
`journald-audit.c`); what the kernel prints is a line as it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial

from node.bounded import run
from node.log_files import BLOCK, apparmor_lines
from node.root import environment
from node.say import Stop

#: What is listened to, as the journal calls it.
AUDIT, KERNEL = "audit", "kernel"

_FIELDS = "MESSAGE,_AUDIT_TYPE,_AUDIT_ID,_SOURCE_REALTIME_TIMESTAMP"


def has_audit() -> bool:
    """Whether journald listens to the kernel's audit."""
    return run(["systemctl", "-q", "is-active", "systemd-journald-audit.socket"], seconds=10).ok


def first_time(transport: str) -> float:
    """When the journal begins, in seconds since the epoch; 0 where that does not show."""
    words = run(_command(transport, "short-unix"), limit=4096).out.split(b" ", 1)
    try:
        return float(words[0])
    except ValueError:
        return 0.0


def lines(transport: str, since: float, patience: float) -> Iterator[str]:
    """Its lines of AppArmor since a time. Raises Stop where that comes to no end."""
    try:
        process = started(transport, since)
    except OSError:
        return
    given_up = threading.Event()

    def give_up() -> None:
        given_up.set()
        process.kill()

    watch = threading.Timer(patience, give_up)
    watch.start()
    try:
        if process.stdout is not None:
            read = partial(os.read, process.stdout.fileno(), BLOCK)
            yield from as_audit_lines(transport, apparmor_lines(iter(read, b"")))
    finally:
        watch.cancel()
        process.kill()
        process.wait()
    if given_up.is_set():
        raise Stop(1, f"journalctl came to no end in {patience:.0f} s: give a later since=")


def started(transport: str, since: float, follow: bool = False) -> subprocess.Popen[bytes]:
    """journalctl, which writes the lines since a time; `follow`: and those that come. Raises
    OSError.
    """
    more = ["--since", f"@{max(0, int(since))}", *(["--follow", "--no-tail"] if follow else [])]
    if transport == AUDIT:
        more.append(f"--output-fields={_FIELDS}")
    return subprocess.Popen(
        _command(transport, "json" if transport == AUDIT else "cat", *more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
        start_new_session=True,
    )


def as_audit_lines(transport: str, lines: Iterator[str]) -> Iterator[str]:
    """What journalctl wrote as lines of audit."""
    return filter(None, map(_of_entry, lines)) if transport == AUDIT else lines


def _of_entry(entry: str) -> str:
    """One line of JSON as the kernel would have printed it, "" for what is none."""
    try:
        fields = json.loads(entry)
        micros, number = int(fields["_SOURCE_REALTIME_TIMESTAMP"]), int(fields["_AUDIT_ID"])
        kind, said = int(fields["_AUDIT_TYPE"]), str(fields["MESSAGE"]).partition(" ")[2]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    time = f"{micros // 1_000_000}.{micros // 1000 % 1000:03}"
    return f"audit: type={kind} audit({time}:{number}): {said}"


def _command(transport: str, form: str, *more: str) -> list[str]:
    return ["journalctl", "-q", "-o", form, f"_TRANSPORT={transport}", *more]
