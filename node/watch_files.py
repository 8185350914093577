"""install-watch RUN on|off|keep - put the files of the watch in place, or take them away; and
switch its timer on or off. RUN: the run's id, for the before-images and the journal. It is what a
run does last: the watch waits for that.

Request: {"files": [[PATH, MODE, TEXT]]}, MODE in octal digits, TEXT null for one that goes; PATH is
one of the four that the watch has.

Exit: 0 all is as wanted · 1 failed: run it again, or roll back · 2 refused
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from node.bounded import run as start
from node.files import raw, read, text
from node.main import request
from node.root import at
from node.say import Stop

if TYPE_CHECKING:
    from node.target import Target

SCRIPT = "/usr/local/lib/phoenix-harden/watch"
SERVICE = "/etc/systemd/system/phoenix-harden-watch.service"
TIMER = "/etc/systemd/system/phoenix-harden-watch.timer"
WANTED = "/var/lib/phoenix-harden/wanted"

_MODES = {SCRIPT: "755", SERVICE: "644", TIMER: "644", WANTED: "600"}
_UNIT = TIMER.rpartition("/")[2]


def observe() -> dict[str, Any]:
    """Which of its files are there, with their text, and whether its timer is enabled and runs."""
    texts = {path: text(read(at(path))) for path in _MODES}
    files = {path: found for path, found in texts.items() if found is not None}
    on = TIMER in files and _is("enabled") and _is("active")
    return {"files": files, "timer": on}


def main(words: list[str]) -> None:
    """Replace each file as a whole, then read the timer back."""
    # `observe`, which is asked with each plan, is without it
    from node.target import Target

    run, timer = words
    files = request()["files"]
    if timer not in ("on", "off", "keep") or any(
        _MODES.get(path) != mode for path, mode, _ in files
    ):
        raise Stop(2, "watch: refused: these are not its files")
    if timer == "off":
        _systemctl("disable", "-q", "--now", _UNIT)
    for path, mode, new in files:
        _replace(Target(run, path, about="watch"), int(mode, 8), None if new is None else raw(new))
    if timer == "on":
        _switch_on()
    elif timer == "off":
        _switched_off()
    elif any(path in (SERVICE, TIMER) for path, _, _ in files):
        _systemctl("daemon-reload")
    # newer than all that the run has noted: it looks again (node.watch)
    with suppress(FileNotFoundError):
        os.utime(at(WANTED))


def _replace(target: Target, mode: int, data: bytes | None) -> None:
    target.intend(data)
    try:
        # a name that systemd passes over
        why = target.put(data, ".phoenix-new", mode, anew=True)
    except OSError:
        raise target.failed(f"cannot replace {target.path}") from None
    if why:
        raise target.failed(f"cannot put {target.path} on disk: {why}")
    target.done()


def _switch_on() -> None:
    _systemctl("daemon-reload")
    if _systemctl("enable", "-q", _UNIT):
        _systemctl("restart", _UNIT)
    if not _is("active"):
        raise Stop(1, f"watch: {_UNIT} does not run: systemctl status {_UNIT}")


def _switched_off() -> None:
    with suppress(OSError):
        os.rmdir(os.path.dirname(at(SCRIPT)))
    _systemctl("daemon-reload")
    if _is("active"):
        raise Stop(1, f"watch: {_UNIT} still runs: systemctl status {_UNIT}")


def _is(state: str) -> bool:
    return _systemctl(f"is-{state}", "-q", _UNIT)


def _systemctl(*words: str) -> bool:
    return start(["systemctl", *words]).ok
