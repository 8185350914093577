"""Runs, their names, and what their journals say.

A node keeps one folder per run. Its `journal.jsonl` has a JSON object a line: an `intent` before
anything is changed, with the digest of what is there and of what shall be there, then `done` with
what was found afterwards, or `restored`, `refused`, `failed`. A run that undoes another begins with
a line that says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

_RUN_ID = re.compile(r"r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")

#: The digest of what is not there.
NONE = "none"

#: The guest's own file; every other path is one of the node.
DAEMON_JSON = "/etc/docker/daemon.json"

Outcome = Literal["open", "done", "restored", "refused", "failed"]


def new_run_id(now: datetime, salt: int) -> str:
    """The id of a run begun at `now` (UTC); it starts with a letter and sorts by time.

    >>> new_run_id(datetime(2026, 11, 22, 1, 30), 0xbeef)
    'r20261122T013000Z-beef'
    """
    return f"r{now:%Y%m%dT%H%M%SZ}-{salt & 0xFFFF:04x}"


def check_run_id(run: str) -> str:
    """Return the id. Raises ValueError for a text that is none: it becomes a folder's name."""
    if not _RUN_ID.fullmatch(run):
        raise ValueError(f"{run!r} is not the id of a run: --data list=true shows them")
    return run


@dataclass(frozen=True)
class Thing:
    """What a run can change: a file of the node, or one of a container's (`ctid`).

    `path`: of the node, or `DAEMON_JSON` in the guest, or "" for the guest's packages.
    """

    path: str
    ctid: int | None = None

    @property
    def is_conf(self) -> bool:
        """Whether it is a container's conf."""
        return self.ctid is not None and self.path.startswith("/etc/pve/")

    @property
    def profile(self) -> str | None:
        """The name of the AppArmor profile whose file it is, or None."""
        folder, _, name = self.path.rpartition("/")
        return name if folder == "/etc/apparmor.d" else None

    def __str__(self) -> str:
        if self.ctid is None:
            return f"profile {self.profile}" if self.profile else self.path
        if self.is_conf:
            return f"CT {self.ctid}"
        return f"CT {self.ctid} {self.path or 'packages'}"


@dataclass(frozen=True)
class Change:
    """What a run did to one thing.

    `before`, `after`: SHA-256 or `NONE`; `after` is the planned one until `outcome` is `done`,
    then the one that was found. `packages`: what was newly installed, or shall be while `open`.
    `ours`: digest of the note of what was ours in that conf before, `NONE` without one.
    `driver_before`, `driver`: Docker's storage driver before and after a change of daemon.json.
    """

    thing: Thing
    before: str = NONE
    after: str = NONE
    outcome: Outcome = "open"
    packages: tuple[str, ...] = ()
    ours: str = NONE
    driver_before: str = ""
    driver: str = ""

    @property
    def stands(self) -> bool:
        """Whether it may still be there: not if it was taken back or never made."""
        return self.outcome in ("open", "done", "failed") and (
            bool(self.packages) or self.before != self.after
        )


@dataclass(frozen=True)
class RunRecord:
    """A run on one node as its journal tells it, changes in the order in which they began.

    `undoes`: the id of the run that it rolled back, None for a run of harden or host_prep.
    """

    id: str
    changes: tuple[Change, ...] = ()
    undoes: str | None = None

    @property
    def open_containers(self) -> tuple[int, ...]:
        """Containers whose commit began and did not end: it works still, or was killed."""
        return tuple(
            dict.fromkeys(
                change.thing.ctid
                for change in self.changes
                if change.outcome == "open" and change.thing.ctid and change.thing.path
            )
        )


def read_journal(run: str, lines: Iterable[str]) -> RunRecord:
    """Read a journal. Never raises: a line that was cut short by a crash is skipped.

    >>> read_journal("r1", ['{"ctid":910,"event":"intent","file":"/etc/pve/lxc/910.conf",'
    ...     '"before":"a","after":"b"}']).open_containers
    (910,)
    """
    changes: dict[Thing, Change] = {}
    undoes = None
    for line in lines:
        try:
            entry = json.loads(line)
            event = entry["event"]
        except (ValueError, TypeError, KeyError):
            continue
        if event == "begin":
            undoes = str(entry["undoes"]) if "undoes" in entry else None
            continue
        for thing in _things(entry, changes):
            if event == "intent":
                changes[thing] = _intended(thing, entry, changes.get(thing))
            elif event in ("done", "restored", "refused", "failed") and thing in changes:
                changes[thing] = _ended(changes[thing], event, entry)
    return RunRecord(run, tuple(changes.values()), undoes)


def last_run(runs: Iterable[RunRecord]) -> str | None:
    """The id of the run that a rollback undoes when none is named, None where there is none."""
    return max((run.id for run in runs if run.undoes is None), default=None)


def in_the_way(runs: Sequence[RunRecord], run: str, thing: Thing) -> str | None:
    """The id of the last run after `run` that changed the same thing and still stands, or None."""
    undone = {record.undoes for record in runs if record.undoes}
    return max(
        (
            record.id
            for record in runs
            if record.id > run and record.undoes is None and record.id not in undone
            for change in record.changes
            if change.thing == thing and change.stands
        ),
        default=None,
    )


def run_lines(nodes: Mapping[str, Sequence[RunRecord]], working: Container[str] = ()) -> list[str]:
    """The runs of all nodes as a table, the newest first: what `--data list=true` shows.

    `working`: ids of the runs that are at work at this moment.
    """
    undone = {(node, run.undoes) for node, runs in nodes.items() for run in runs if run.undoes}
    rows = [["RUN", "NODE", "STATE", "CHANGED"]]
    every = [(run, node) for node, runs in nodes.items() for run in runs]
    for run, node in sorted(every, key=lambda one: (one[0].id, one[1]), reverse=True):
        stand = [str(change.thing) for change in run.changes if change.stands]
        if run.open_containers:
            state = "at work" if run.id in working else "interrupted"
        elif (node, run.id) in undone:
            state = "rolled back"
        elif run.undoes:
            state = f"undid {run.undoes}"
        else:
            state = "done" if stand else "nothing left of it"
        rows.append([run.id, node, state, ", ".join(stand) or "-"])
    if len(rows) == 1:
        return ["no run has left a journal on these nodes"]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _things(entry: Mapping[str, Any], known: Mapping[Thing, Change]) -> list[Thing]:
    """What a line speaks of; one that names no file speaks of all that is open of its container."""
    ctid = entry.get("ctid")
    if "profile" in entry:
        return [Thing(f"/etc/apparmor.d/{entry['profile']}")]
    if "file" in entry:
        return [Thing(str(entry["file"]), ctid)]
    if "packages" in entry:
        return [Thing("", ctid)]
    return [t for t, c in known.items() if t.ctid == ctid and t.path and c.outcome == "open"]


def _intended(thing: Thing, entry: Mapping[str, Any], earlier: Change | None) -> Change:
    change = Change(
        thing,
        str(entry.get("before", NONE)),
        str(entry.get("after", NONE)),
        packages=tuple(str(entry.get("packages", "")).split()),
        ours=str(entry.get("ours", NONE)),
        driver_before=str(entry.get("driver_before", "")),
        driver=str(entry.get("driver", "")),
    )
    # twice in one run (planned anew): what was there before the first counts
    if earlier and earlier.stands:
        was = earlier.driver_before
        return replace(change, before=earlier.before, ours=earlier.ours, driver_before=was)
    return change


def _ended(change: Change, event: Outcome, entry: Mapping[str, Any]) -> Change:
    if event == "done" and "packages" in entry:
        return replace(change, outcome=event, packages=tuple(str(entry["packages"]).split()))
    return replace(change, outcome=event, after=str(entry.get("after", change.after)))
