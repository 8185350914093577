"""Undoing a run: what it did to the node's own files. Containers go back by transaction.commit."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from pyinfra.api import QuoteString, StringCommand, operation

from operations.diff import show_diff
from operations.transaction import RUNS
from phoenix.changes import PutBack
from phoenix.daemon_json import digest
from phoenix.journal import check_run_id

PUT_BACK = Path(__file__).parents[1] / "templates/node/put-back.sh"


@operation()
def begin(run: str, undoes: str) -> Generator[StringCommand, None, None]:
    """Open the journal of a run that undoes another.

    + run: id of this run
    + undoes: id of the other
    """
    folder = f"{RUNS}/{check_run_id(run)}"
    line = f'{{"event":"begin","undoes":"{check_run_id(undoes)}"}}'
    yield StringCommand(
        "umask 077 && mkdir -p",
        QuoteString(folder),
        "&& printf '%s\\n'",
        QuoteString(line),
        ">>",
        QuoteString(f"{folder}/journal.jsonl"),
    )


@operation()
def put_back(change: PutBack, run: str, undoes: str) -> Generator[StringCommand, None, None]:
    """Give a file of the node back what a run replaced, or take away what it brought.

    + change: the file, as it is and as it shall be
    + run: id of this run, which keeps a copy of what it replaces
    + undoes: id of the run that is undone, which kept the old text

    What a container still needs is kept, with the reason: a profile that a process carries, a
    file that a conf names.
    """
    show_diff(change.path, change.before, change.after)
    yield StringCommand(
        "sh -c",
        QuoteString(PUT_BACK.read_text()),
        "put-back",
        QuoteString(change.path),
        change.digest,
        digest(change.after),
        QuoteString(f"{RUNS}/{check_run_id(undoes)}"),
        QuoteString(f"{RUNS}/{check_run_id(run)}"),
    )
