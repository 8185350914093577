"""Diffs of our operations on screen, in pyinfra's own form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff

from pyinfra import host, state
from pyinfra.api import State
from pyinfra.api.output import echo
from pyinfra.operations.util.files import generate_color_diff

from phoenix.report.groups import ALL, FEW, alike, grouped, numbers
from phoenix.text.printable import printable


def tells_all(run: State) -> bool:
    """Whether the operator of a run of pyinfra asked for everything, by -v: that sets this flag."""
    return bool(run.print_noop_info)


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


@dataclass(frozen=True)
class FileOf:
    """How a file of a container changes: what to call it, its text before and after."""

    ctid: int
    name: str
    path: str
    before: str | None
    after: str | None


def show_diffs(changes: Sequence[FileOf]) -> None:
    """Print how files of many containers change: of the same change one diff, and whose it is.

    Each has its own where they are few, or where everything is asked for.
    """
    if not state.config.DIFF or state.is_executing:
        return
    if tells_all(state) or len(changes) <= FEW:
        for one in changes:
            show_diff(one.path, one.before, one.after)
        return
    kinds = [*grouped(changes, _kind).values()]
    for same in kinds[:FEW]:
        first, *others = same
        show_diff(first.path, first.before, first.after)
        if others:
            who = numbers(one.ctid for one in others)
            text = f"the same in {len(others)} more, but for its CTID and name: {who}"
            echo(f"{host.print_prefix}{text}", err=True)
    if left := sum(map(len, kinds[FEW:])):
        text = f"… and {len(kinds) - FEW} more kinds of changes, of {left} files: {ALL}"
        echo(f"{host.print_prefix}{text}", err=True)


def _kind(change: FileOf) -> tuple[str, ...]:
    """What a file loses and gets, its container's CTID and name aside."""
    diff = unified_diff(_lines(change.before), _lines(change.after), lineterm="", n=0)
    # after the names of the two
    lines = [line for line in [*diff][2:] if not line.startswith("@@ ")]
    return tuple(alike(line, change.ctid, change.name) for line in lines)


def _lines(text: str | None) -> list[str]:
    """Printable ones: the file may be a guest's."""
    return [printable(line, None) for line in (text or "").splitlines()]
