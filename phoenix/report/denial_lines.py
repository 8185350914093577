"""What an operator reads of denials, below the table of an audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from phoenix.apparmor.denials import ObservedDenials
from phoenix.plan.options import Options
from phoenix.report.denial_groups import DenialGroup
from phoenix.text.printable import printable


def denial_lines(
    node: str, seen: ObservedDenials, groups: Sequence[DenialGroup], options: Options
) -> Iterator[str]:
    """What was denied on a node and what to do about each; nothing where nobody looked.

    No finding of its own: software tries things, and a denial is the profile at work.
    """
    if seen.source:
        yield from (printable(line, None) for line in _lines(node, seen, groups, options))


def _lines(
    node: str, seen: ObservedDenials, groups: Sequence[DenialGroup], options: Options
) -> Iterator[str]:
    since = "since the time given" if options.since else "since each container's start"
    # measured: the kernel's own log had none of 300 lines that audit.log had
    misses = "" if seen.source == "audit.log" else ", which misses some: apt install auditd"
    if seen.begins is not None:
        since = f"since {_time(seen.begins)}, where the log begins"
    told = f"{since} ({seen.source}{misses})"
    refused = [group for group in groups if not group.denial.logged]
    for title, found in (
        ("denied", [group for group in refused if not group.denial.complain]),
        ("would have been denied", [group for group in refused if group.denial.complain]),
        ("logged on request", [group for group in groups if group.denial.logged]),
    ):
        if found:
            yield f"{node}: {title} {told}:"
            yield from map(_group_line, found)
    if not refused:
        yield f"{node}: nothing was denied {told}"
    if seen.left:
        yield f"{node}: {seen.left} more lines of other kinds are left out: give a later since="


def _group_line(group: DenialGroup) -> str:
    one = group.denial
    what = " ".join(filter(None, (one["operation"], one.subject)))
    by = f" by {printable(one['comm'])}" if one["comm"] else ""
    return (
        f"  {group.whose}: {one.count}x {what}{by} "
        f"under {printable(one['profile'])}, last {_time(one.last)}: {one.next_step}"
    )


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
