"""What the runs on this node wrote down, kept and staged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from node.bounded import MIB, run
from node.files import open_regular, text
from node.root import RUNS, STATE, at
from node.say import Stop

# `phoenix.runs` and `node.staged` are loaded where there is a run: a dry run of a slow node is
# done before they are

JOURNAL_LIMIT = 4 * MIB
FILE_LIMIT = 2 * MIB

_UNIT = re.compile(r"phoenix-harden-(r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4})-([1-9][0-9]*)\.service")
#: `node.state.lock`, as a commit takes it.
_HOLDER = re.compile(r"run (r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}), CT ([1-9][0-9]*)\n")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CTID = re.compile(r"[1-9][0-9]{2,8}")
#: What a run that was cut short leaves beside the place of a file.
_NEW = (".dpkg-new", ".phoenix-new")


def observe(unfinished: bool) -> dict[str, Any]:
    """The journals of all runs, or of those that were cut short.

    - `runs`: run id to the journal's text · `active`: run and CTID of the commits at work
    - `problems`: journals that cannot be told
    """
    runs: dict[str, str] = {}
    problems = []
    for name in run_ids():
        try:
            journal = text(read_file(at(f"{RUNS}/{name}/journal.jsonl"), JOURNAL_LIMIT)) or ""
        except ValueError:
            size = f"larger than {JOURNAL_LIMIT // MIB} MiB"
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
    from node.staged import NAMES
    from phoenix.runs.record import check_run_id, is_of_node

    folder = at(f"{RUNS}/{check_run_id(run)}")
    names = re.compile("|".join(map(re.escape, NAMES)))
    for path in paths:
        if not is_of_node(path):
            raise Stop(2, f"refused: {path} is no file that a run of ours changes")
    return {
        "files": _texts(f"{folder}/files", _DIGEST),
        "guest": {
            ctid: _texts(f"{folder}/guest/{ctid}", _DIGEST) for ctid in _ctids(f"{folder}/guest")
        },
        "staged": {ctid: _texts(f"{folder}/{ctid}", names) for ctid in _ctids(folder)},
        "now": {path: _now(path) for path in paths},
        "left": [path for path in paths if any(os.path.lexists(at(path) + one) for one in _NEW)],
    }


def staged(run: str, ctid: int) -> dict[str, Any]:
    """What a run has staged for a container and not committed yet.

    `conf`: the new conf, with the digest of the one that it was made `before`, or null.
    """
    from phoenix.runs.record import check_run_id

    folder = at(f"{RUNS}/{check_run_id(run)}/{ctid:d}")
    before, conf = (text(read_file(f"{folder}/{name}", FILE_LIMIT)) for name in ("before", "conf"))
    whole = before is not None and conf is not None
    return {"conf": {"before": (before or "").strip(), "conf": conf} if whole else None}


def _has_ended(run: str, journal: str) -> bool:
    """Whether all that it began has ended. One that does not fit is told, so that it is refused."""
    from phoenix.runs.journal import JournalError, read_journal

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
    holder = _HOLDER.match(text(read_file(at(f"{STATE}/lock"), FILE_LIMIT)) or "")
    if holder and holder[1] in {run for run, _ in at_work}:
        at_work.append((holder[1], int(holder[2])))
    return list(dict.fromkeys(at_work))


def _texts(folder: str, names: re.Pattern[str]) -> dict[str, str]:
    """The files of ours in a folder, those of a name of ours and of a size."""
    found = {}
    for name in _entries(folder):
        if names.fullmatch(name):
            try:
                one = text(read_file(f"{folder}/{name}", FILE_LIMIT))
            except ValueError:
                continue
            if one is not None:
                found[name] = one
    return found


def _now(path: str) -> str | None:
    if not os.path.isfile(at(path)):
        return None
    try:
        return text(read_file(os.path.realpath(at(path)), FILE_LIMIT))
    except ValueError:
        raise Stop(1, f"{path} is larger than {FILE_LIMIT // MIB} MiB") from None


def run_ids() -> Iterator[str]:
    """The runs of which there is a folder, in the order of their times."""
    for name in _entries(at(RUNS)):
        from phoenix.runs.record import check_run_id

        try:
            yield check_run_id(name)
        except ValueError:
            continue


def _ctids(folder: str) -> list[str]:
    return [name for name in _entries(folder) if _CTID.fullmatch(name)]


def read_file(path: str, limit: int) -> bytes | None:
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
