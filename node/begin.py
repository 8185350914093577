"""begin RUN [UNDOES] - open the journal of a run; UNDOES: the id of the run that it rolls back.

Exit: 0 it is open · 2 refused: it was opened before, as another's
"""

from __future__ import annotations

from node.journal import Journal
from node.say import Stop
from node.target import run_folder
from phoenix.runs.journal import JournalError


def main(words: list[str]) -> None:
    """Write its first line, once."""
    run, undoes = words[0], words[1] if words[1:] else ""
    journal = Journal(run_folder(run))
    if undoes:
        run_folder(undoes)
    if not journal.text():
        journal.begin(undoes)
        return
    try:
        found = journal.read().undoes or ""
    except JournalError as error:
        raise Stop(2, f"refused: {error}") from None
    if found != undoes:
        raise Stop(2, f"refused: run {run} has begun already")
