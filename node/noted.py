"""What the runs on this node noted of the guests that they proved."""

from __future__ import annotations

import os
from dataclasses import dataclass

from node.files import text
from node.root import RUNS, at
from node.runs import FILE_LIMIT, JOURNAL_LIMIT, read_file, run_ids
from phoenix.runs.journal import read_journal

_NOTED = ("works", "accept", "conf")


@dataclass(frozen=True)
class Noted:
    """What a run noted of a guest that it then proved: see `node.staged` of the texts."""

    run: str
    works: str
    accept: frozenset[str]
    conf: str


def noted(ctid: int) -> Noted | None:
    """What the last run noted that has proven this container; ids begin with their time.

    None where it has noted nothing, or is at it still.
    """
    for name in sorted(run_ids(), reverse=True):
        folder = at(f"{RUNS}/{name}/{ctid:d}")
        if not os.path.isdir(folder):
            continue
        try:
            journal = text(read_file(at(f"{RUNS}/{name}/journal.jsonl"), JOURNAL_LIMIT)) or ""
            works, accept, conf = (
                text(read_file(f"{folder}/{one}", FILE_LIMIT)) or "" for one in _NOTED
            )
            changes = read_journal(name, journal).changes
        except ValueError:
            continue
        outcomes = {change.outcome for change in changes if change.thing.ctid == ctid}
        if "open" in outcomes:
            return None
        if outcomes == {"done"}:
            names = frozenset(accept.split("\n")) - {""}
            return Noted(name, works, names, conf) if works else None
    return None
