"""What an operator reads of denials: below the table of an audit, and by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from phoenix.apparmor.denials import Denial, ObservedDenials
from phoenix.plan.options import Options
from phoenix.report.denial_groups import DenialGroup
from phoenix.report.denial_words import as_word, engine_container, what
from phoenix.text.printable import printable

# the last second that datetime knows
_LAST = 253402300799.0

#: What became of it.
DENIED, WOULD_BE, LOGGED = "denied", "would have been denied", "logged on request"


def denial_lines(
    node: str, seen: ObservedDenials, groups: Sequence[DenialGroup], options: Options
) -> Iterator[str]:
    """What was denied on a node and what to do about each; nothing where nobody looked.

    No finding of its own: software tries things, and a denial is the profile at work.
    """
    since = "since the time given" if options.since else "since each container's start"
    if seen.begins is not None:
        since = f"since {time_text(seen.begins)}, where the log begins"
    return summary_lines(node, seen, groups, since)


def summary_lines(
    node: str, seen: ObservedDenials, groups: Sequence[DenialGroup], since: str
) -> Iterator[str]:
    """The same with the words that say since when."""
    if seen.source:
        told = f"{since} ({source_text(seen.source, seen.missing)})"
        yield from (printable(line, None) for line in _lines(node, seen, groups, told))


def source_text(source: str, missing: str) -> str:
    """The log, and what it may lack."""
    # measured: the kernel's own log had none of 300 lines that audit.log had
    misses = "" if source == "audit.log" else "which misses some: apt install auditd"
    return ", ".join(filter(None, (source, missing or misses)))


def became(denial: Denial) -> str:
    """What became of what a program tried."""
    return LOGGED if denial.logged else WOULD_BE if denial.complain else DENIED


def denial_text(denial: Denial) -> str:
    """What was refused, to whom in the container, and by which profile."""
    by = f" by {printable(as_word(denial['comm']))}" if denial["comm"] else ""
    inside = engine_container(denial)
    inside = f" in container {inside}" if inside else ""
    return f"{what(denial)}{by}{inside} under {printable(as_word(denial['profile']))}"


def flood_text(profile: str, lines: int) -> str:
    """What is told of lines that were too many kinds to tell apart."""
    return (
        f"flood: {printable(profile)} logged {lines} more lines of too many kinds to tell apart: "
        "find out what under it tries so much"
    )


def time_text(seconds: float) -> str:
    """A time as people read it, in UTC."""
    return f"{utc(seconds):%Y-%m-%d %H:%M:%SZ}"


def utc(seconds: float) -> datetime:
    """A time of a log, whatever that says; the kernel's have twelve digits at most."""
    return datetime.fromtimestamp(min(max(0.0, seconds), _LAST), UTC)


def _lines(
    node: str, seen: ObservedDenials, groups: Sequence[DenialGroup], told: str
) -> Iterator[str]:
    for title in (DENIED, WOULD_BE, LOGGED):
        found = [group for group in groups if became(group.denial) == title]
        if found:
            yield f"{node}: {title} {told}:"
            yield from map(_group_line, found)
    for flood in seen.floods:
        span = f"from {time_text(flood.first)} to {time_text(flood.last)}"
        yield f"{node}: {span}: {flood_text(flood.profile, flood.lines)}"
    if not seen.floods and all(group.denial.logged for group in groups):
        yield f"{node}: nothing was denied {told}"
    left = seen.left - sum(flood.lines for flood in seen.floods)
    if left > 0:
        yield f"{node}: {left} more lines of other kinds are left out: a later since shows more"


def _group_line(group: DenialGroup) -> str:
    one = group.denial
    return (
        f"  {group.who}: {one.count}x {denial_text(one)}, last {time_text(one.last)}: "
        f"{group.next_step}"
    )
