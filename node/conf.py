"""write-conf CTID BEFORE AFTER - put a new /etc/pve/lxc/CTID.conf in place, if the one there is
still the one that was read.

Request: {"text": the new one}. BEFORE: SHA-256 of the conf that was read; AFTER: of the new one.

Exit: 0 written · 1 failed · 2 refused; with 1 and 2 nothing was changed
"""

from __future__ import annotations

import fcntl
import grp
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from node.bounded import MIB
from node.files import digest, make_folder, raw, read
from node.main import request
from node.root import at, seconds
from node.say import Stop

#: Seconds that Proxmox itself waits for its lock.
_PATIENCE = 10

#: The largest file that pmxcfs holds; a longer one stays behind cut off.
_LIMIT = MIB


def main(words: list[str]) -> None:
    """Check that all of it has arrived, then put it in place."""
    ctid, before, after = int(words[0]), words[1], words[2]
    data = raw(request()["text"])
    if digest(data) != after:
        raise _end(1, ctid, "the new conf did not arrive whole: nothing was changed: run it again")
    # whoever ends it shall leave nothing beside the conf
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    swap(ctid, data, before)


def swap(ctid: int, data: bytes, expected: str) -> None:
    """Put a text in the conf's place if the conf still has the digest `expected`.

    Raises Stop(1) where that fails and Stop(2) where it is refused, with what to tell about the
    container; nothing was changed then.
    """
    name = f"/etc/pve/lxc/{ctid:d}.conf"
    if len(data) > _LIMIT:
        raise _end(
            2,
            ctid,
            f"the new {name} would be larger than the 1 MiB that pmxcfs holds: nothing was changed",
        )
    with locked(ctid):
        now = read(at(name))
        if now is None:
            raise _end(
                2, ctid, f"{name} is gone: was it destroyed or migrated? Nothing was changed"
            )
        if digest(now) != expected:
            raise _end(2, ctid, f"somebody changed {name} since it was read: run it again")
        _replace(ctid, name, data)


@contextmanager
def locked(ctid: int) -> Iterator[None]:
    """Hold the lock that Proxmox takes for every write (PVE::LXC::Config lock_config)."""
    name = f"/run/lock/lxc/pve-config-{ctid:d}.lock"
    try:
        make_folder(os.path.dirname(at(name)), 0o755)
        held = os.open(at(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError:
        raise _end(1, ctid, f"cannot open {name}: nothing was changed") from None
    try:
        if not _take(held, patience := seconds("PATIENCE", _PATIENCE)):
            raise _end(
                2,
                ctid,
                f"got no lock on {name} in {patience:g} s: "
                "another task works on this container: run it again later",
            )
        yield
    finally:
        os.close(held)


def _take(held: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(0.05)


def _replace(ctid: int, name: str, data: bytes) -> None:
    # Proxmox's own name for it (PVE::Tools file_set_contents): nothing takes it for a container
    new = f"{at(name)}.tmp.{os.getpid()}"
    try:
        try:
            write_for_pmxcfs(new, data)
        except OSError:
            raise _end(
                1,
                ctid,
                f"cannot write beside {name}: nothing was changed: "
                "is /etc/pve writable (pvecm status)?",
            ) from None
        if read(new) != data:
            raise _end(1, ctid, f"{name} did not reach the disk whole: nothing was changed")
        try:
            os.rename(new, at(name))
        except OSError:
            raise _end(1, ctid, f"cannot replace {name}: nothing was changed") from None
    finally:
        with suppress(OSError):
            os.unlink(new)


def write_for_pmxcfs(path: str, data: bytes) -> None:
    """Write it as Proxmox has them, 0640 root:www-data; pmxcfs sets both on its own.

    Raises OSError.
    """
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
    with os.fdopen(made, "wb") as file:
        with suppress(OSError):
            os.fchmod(made, 0o640)
        with suppress(OSError, KeyError):
            os.fchown(made, -1, grp.getgrnam("www-data").gr_gid)
        file.write(data)
        file.flush()
        # pmxcfs puts it on disk on its own
        with suppress(OSError):
            os.fsync(made)


def stop(*_: object) -> None:
    """Handle a signal by an end that takes away what is half done."""
    raise Stop(1)


def _end(code: int, ctid: int, why: str) -> Stop:
    return Stop(code, f"CT {ctid}: {why}")
