"""recover RUN CTID... [--if-cut] - take up a commit that was cut short (a kill, a reboot).

What `node.recover` does; with `--if-cut` nothing is done and nothing said where it was not cut
short. So it is called whenever the unit of a commit ends: what that takes is all that is loaded.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from node import bounded
from node.journal import Journal
from node.state import each, named
from phoenix.docker.names import DAEMON_JSON
from phoenix.runs.journal import JournalError

#: Events after which a commit has still to come to its end.
OPEN = ("intent", "started", "back")


def main(words: list[str]) -> int:
    """Do it where it is due; gives the exit code."""
    if words[-1:] == ["--if-cut"]:
        cut = _cut(words[:-1])
        if not cut:
            return 0
        words = [words[0], *cut]
    return int(import_module("node.recover").main(words))


def events(journal: Journal) -> dict[int, list[dict[str, Any]]]:
    """The lines of a journal that fits about the containers' confs, oldest first, by CTID.

    A last line that was cut short is none.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    # in the version before a line that names nothing ended all of a container
    others = {"packages", "removed", "ha"}
    for line in journal.text().split("\n"):
        entry = _entry(line)
        is_conf = entry.get("file") != DAEMON_JSON and not others & entry.keys()
        if is_conf and isinstance(ctid := entry.get("ctid"), int):
            found.setdefault(ctid, []).append(entry)
    return found


def ha_events(journal: Journal) -> dict[int, dict[str, Any]]:
    """The last line of a journal that fits about what HA is asked for, by CTID (`node.ha`)."""
    entries = map(_entry, journal.text().split("\n"))
    return {entry["ctid"]: entry for entry in entries if "ha" in entry}


def _cut(words: list[str]) -> list[str]:
    """Those that are for us to take up. What the commit has refused, and said so, is not."""
    every = [named(one) for one in each(words)]
    journal = Journal(every[0][0])
    try:
        journal.read()
    except JournalError:
        return []
    last = {ctid: every[-1]["event"] for ctid, every in events(journal).items()}
    # what could not be put back was said so
    ignored = {ctid for ctid, one in ha_events(journal).items() if one["event"] == "intent"}
    cut = [f"{ctid:d}" for _, ctid in every if last.get(ctid) in OPEN or ctid in ignored]
    return [] if cut and _node_goes_down() else cut


def _node_goes_down() -> bool:
    """Nothing starts any more then; the next run takes it up."""
    asked = bounded.run(["systemctl", "is-system-running"], seconds=30, limit=4096)
    return asked.out.strip() == b"stopping"


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        # cut short, or none
        return {}
    return entry if isinstance(entry, dict) else {}
