"""What the runs on this node wrote down, kept and staged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from node.bounded import MIB, run
from node.files import open_regular, text
from node.root import RUNS, STATE, at
from node.say import Stop
from node.staged import NAMES
from phoenix.runs.journal import JournalError, read_journal
from phoenix.runs.record import check_run_id, is_of_node

_JOURNAL_LIMIT = 4 * MIB
_FILE_LIMIT = 2 * MIB

_UNIT = re.compile(r"phoenix-harden-(r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4})-([1-9][0-9]*)\.service")
#: `node.state.lock`, as a commit takes it.
_HOLDER = re.compile(r"run (r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}), CT ([1-9][0-9]*)\n")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CTID = re.compile(r"[1-9][0-9]{2,8}")
_STAGED = re.compile("|".join(re.escape(name) for name in NAMES))
_NOTED = ("works", "accept", "conf")
#: What a run that was cut short leaves beside the place of a file.
_NEW = (".dpkg-new", ".phoenix-new")


@dataclass(frozen=True)
class Noted:
    """What a run noted of a guest that it then proved: see `node.staged` of the texts."""

    run: str
    works: str
    accept: frozenset[str]
    conf: str


def observe(unfinished: bool) -> dict[str, Any]:
    """The journals of all runs, or of those that were cut short.

    - `runs`: run id to the journal's text · `active`: run and CTID of the commits at work
    - `problems`: journals that cannot be told
    """
    runs: dict[str, str] = {}
    problems = []
    for name in _run_ids():
        try:
            journal = text(_read(f"{RUNS}/{name}/journal.jsonl", _JOURNAL_LIMIT)) or ""
        except ValueError:
            size = f"larger than {_JOURNAL_LIMIT // MIB} MiB"
            problems.append(f"run {name}: its journal is {size}: refused")
            continue
        if journal and not (unfinished and _has_ended(name, journal)):
            runs[name] = journal
    return {"runs": runs, "active": _active(), "problems": problems}


def run_files(run: str, paths: list[str]) -> dict[str, Any]:
    """What a run kept and staged, and what is at these places of the node now.

    - `files`, and `guest` by CTID: before-images by the digest that they had
    - `staged`: CTID to file to text · `now`: path to text, null where there is nothing
    - `left`: those of the paths beside which lies a new file that was never put in place

    Raises Stop for a path that no run of ours changes.
    """
    folder = f"{RUNS}/{check_run_id(run)}"
    for path in paths:
        if not is_of_node(path):
            raise Stop(2, f"refused: {path} is no file that a run of ours changes")
    return {
        "files": _texts(f"{folder}/files", _DIGEST),
        "guest": {
            ctid: _texts(f"{folder}/guest/{ctid}", _DIGEST) for ctid in _ctids(f"{folder}/guest")
        },
        "staged": {ctid: _texts(f"{folder}/{ctid}", _STAGED) for ctid in _ctids(folder)},
        "now": {path: _now(path) for path in paths},
        "left": [path for path in paths if any(os.path.lexists(at(path) + one) for one in _NEW)],
    }


def staged(run: str, ctid: int) -> dict[str, Any]:
    """What a run has staged for a container and not committed yet.

    `conf`: the new conf, with the digest of the one that it was made `before`, or null.
    """
    folder = f"{RUNS}/{check_run_id(run)}/{ctid:d}"
    before, conf = (text(_read(f"{folder}/{name}", _FILE_LIMIT)) for name in ("before", "conf"))
    whole = before is not None and conf is not None
    return {"conf": {"before": (before or "").strip(), "conf": conf} if whole else None}


def noted(ctid: int) -> Noted | None:
    """What the last run noted that has proven this container; ids begin with their time.

    None where it has noted nothing, or is at it still.
    """
    for name in sorted(_run_ids(), reverse=True):
        folder = f"{RUNS}/{name}/{ctid:d}"
        if not os.path.isdir(folder):
            continue
        try:
            journal = text(_read(f"{RUNS}/{name}/journal.jsonl", _JOURNAL_LIMIT)) or ""
            works, accept, conf = (
                text(_read(f"{folder}/{one}", _FILE_LIMIT)) or "" for one in _NOTED
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


def _has_ended(run: str, journal: str) -> bool:
    """Whether all that it began has ended. One that does not fit is told, so that it is refused."""
    try:
        record = read_journal(run, journal)
    except JournalError:
        return False
    return not record.ha and all(change.outcome != "open" for change in record.changes)


def _active() -> list[tuple[str, int]]:
    ended = run(["systemctl", "list-units", "--plain", "--no-legend", "phoenix-harden-r*"])
    units = [line.split()[0] for line in (ended.text or "").split("\n") if line.split()]
    found = [match for unit in units if (match := _UNIT.fullmatch(unit))]
    at_work = [(match[1], int(match[2])) for match in found]
    # one of several is named by the first: who has the lock says at which it is
    holder = _HOLDER.match(text(_read(f"{STATE}/lock", _FILE_LIMIT)) or "")
    if holder and holder[1] in {run for run, _ in at_work}:
        at_work.append((holder[1], int(holder[2])))
    return list(dict.fromkeys(at_work))


def _texts(folder: str, names: re.Pattern[str]) -> dict[str, str]:
    """The files of ours in a folder, those of a name of ours and of a size."""
    found = {}
    for name in _entries(folder):
        if names.fullmatch(name):
            try:
                one = text(_read(f"{folder}/{name}", _FILE_LIMIT))
            except ValueError:
                continue
            if one is not None:
                found[name] = one
    return found


def _now(path: str) -> str | None:
    if not os.path.isfile(at(path)):
        return None
    try:
        return text(_read(os.path.realpath(at(path)), _FILE_LIMIT))
    except ValueError:
        raise Stop(1, f"{path} is larger than {_FILE_LIMIT // MIB} MiB") from None


def _run_ids() -> Iterator[str]:
    for name in _entries(RUNS):
        try:
            yield check_run_id(name)
        except ValueError:
            continue


def _ctids(folder: str) -> list[str]:
    return [name for name in _entries(folder) if _CTID.fullmatch(name)]


def _read(path: str, limit: int) -> bytes | None:
    """A regular file, None if there is none; raises ValueError for a larger one."""
    file = open_regular(path)
    if file is None:
        return None
    with file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(path)
    return data


def _entries(path: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(path) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
