"""What a node keeps of its runs, as frozen values, and how the node's own lines become them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from phoenix.changes import Unsettled
from phoenix.journal import RunRecord, read_journal

_UNIT = re.compile(r"phoenix-harden-(r[0-9TZ]+-[0-9a-f]{4})-([1-9][0-9]*)\.service")


@dataclass(frozen=True)
class ObservedRuns:
    """The runs of a node, oldest first; `active`: (run, CTID) of the commits at work."""

    runs: tuple[RunRecord, ...] = ()
    active: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    @property
    def unsettled(self) -> tuple[Unsettled, ...]:
        """The commits that were cut short, and those that work still; the oldest first.

        Both are settled in one way: whoever is first has the lock and finishes.
        """
        return tuple(
            Unsettled(run.id, ctid, (run.id, ctid) in self.active)
            for run in self.runs
            for ctid in run.open_containers
        )


@dataclass(frozen=True)
class Kept:
    """What a run kept (`files`: digest to text) and staged (CTID to file to text).

    `now`: what is at the asked-for paths of the node, None where there is nothing; `left`: those
    beside which lies a new file that was never put in place, as a run that was cut short leaves it.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    staged: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    now: Mapping[str, str | None] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def parse_runs(lines: list[str]) -> ObservedRuns:
    """Read the answer of `templates/node/runs.sh`; what is not understood is skipped."""
    journals: dict[str, list[str]] = {}
    active = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "run":
            journals[rest] = []
        elif word == "entry" and journals:
            journals[next(reversed(journals))].append(rest)
        elif word == "active" and (unit := _UNIT.fullmatch(rest)):
            active.append((unit[1], int(unit[2])))
    runs = (read_journal(run, entries) for run, entries in sorted(journals.items()))
    return ObservedRuns(tuple(runs), tuple(active))


def parse_kept(lines: list[str]) -> Kept:
    """Read the answer of `templates/node/kept.sh`; what is not understood is skipped."""
    files: dict[str, str] = {}
    staged: dict[int, dict[str, str]] = {}
    now: dict[str, str | None] = {}
    left: list[str] = []
    for line in lines:
        match line.split(" "):
            case ["kept", digest, *text]:
                files[digest] = _text("".join(text))
            case ["staged", ctid, name, *text] if ctid.isdecimal():
                staged.setdefault(int(ctid), {})[name] = _text("".join(text))
            case ["now", path, "none"]:
                now[path] = None
            case ["now", path, _, *text]:
                now[path] = _text("".join(text))
            case ["left", path]:
                left.append(path)
    return Kept(files, staged, now, tuple(left))


def _text(encoded: str) -> str:
    return unquote_to_bytes(encoded).decode("utf-8", "surrogateescape")
