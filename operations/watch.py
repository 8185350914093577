"""The watch of a node: installed, kept up to date, removed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator

from pyinfra.api import QuoteString, StringCommand, operation

from operations.diff import show_diff
from operations.transaction import NODE, RUNS
from phoenix.changes import WatchChange
from phoenix.journal import check_run_id

SCRIPT = NODE / "install-watch.sh"


@operation()
def watch(run: str, change: WatchChange) -> Generator[StringCommand, None, None]:
    """Bring the files of the watch and its timer to where they shall be.

    + run: id of the run that keeps the before-images
    + change: from `phoenix.watch.plan_watch`

    Each file is replaced as a whole; the timer is read back.
    """
    folder = f"{RUNS}/{check_run_id(run)}"
    lines = []
    for file in change.files:
        show_diff(file.path, file.before, file.after or "")
        data = "-" if file.after is None else b64encode(file.after.encode()).decode()
        lines.append(f"{file.path} {file.mode} {data}\n")
    yield StringCommand(
        "sh",
        "-c",
        QuoteString(SCRIPT.read_text()),
        "install-watch",
        QuoteString(folder),
        change.timer,
        _stdin="".join([*lines, "end"]),
    )
