"""Diffs of our operations on screen, in pyinfra's own form."""

from __future__ import annotations

from pyinfra import host, state
from pyinfra.api.output import echo
from pyinfra.operations.util.files import generate_color_diff

from phoenix.text.printable import printable


def show_diff(path: str, before: str | None, after: str | None) -> None:
    """Print how a file changes, as `files.put` does under `--diff`; None: it is not there.

    To stderr, and only while changes are detected: `--json` owns stdout, and the operation's
    generator runs once more when it is executed.
    """
    if not state.config.DIFF or state.is_executing:
        return
    note = " (new)" if before is None else " (removed)" if after is None else ""
    echo(f"{host.print_prefix}{path}{note}", err=True)
    for line in generate_color_diff(_lines(before), _lines(after)):
        echo(f"    {line}", err=True)


def _lines(text: str | None) -> list[str]:
    """Printable ones: the file may be a guest's."""
    return [printable(line, None) for line in (text or "").splitlines()]
