"""The watch of a node: installed, kept up to date, removed."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api import StringCommand, operation

from facts.program import doing
from operations.diff import show_diff
from phoenix.docker.daemon_json import digest
from phoenix.plan.actions import FileChange, WatchChange
from phoenix.runs.record import check_run_id
from phoenix.runs.watch import SCRIPT


@operation()
def watch(run: str, change: WatchChange) -> Generator[StringCommand, None, None]:
    """Bring the files of the watch and its timer to where they shall be.

    + run: id of the run that keeps the before-images
    + change: from `phoenix.plan.watch.plan_watch`

    Each file is replaced as a whole; the timer is read back.
    """
    for file in change.files:
        _show(file)
    files = [[file.path, file.mode, file.after] for file in change.files]
    yield doing("install-watch", check_run_id(run), change.timer, request={"files": files})


def _show(file: FileChange) -> None:
    if file.path == SCRIPT:
        # a packed program says nothing to anybody
        show_diff(file.path, _brief(file.before), _brief(file.after))
    else:
        show_diff(file.path, file.before, file.after)


def _brief(text: str | None) -> str | None:
    return None if text is None else f"(the program, {digest(text)[:12]})\n"
