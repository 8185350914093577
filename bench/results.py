"""What was measured, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_node import machine
from meter import Cost
from plot import WAYS, Line, plot

_HEAD = (
    "what   containers  Docker  way       rounds     wall     here     node  commands  programs"
    "        sent    received  / ours"
)


@dataclass(frozen=True)
class Row:
    """One way in one case; `cost` is None where it was left out."""

    what: str
    containers: int
    docker: int
    way: str
    rounds: int
    cost: Cost | None


class Results:
    """Prints each case as it comes, and writes both files anew with it."""

    def __init__(self, table: Path, plot: Path, versions: str) -> None:
        self._table, self._plot, self._versions = table, plot, versions
        self._cases: list[Sequence[Row]] = []
        self._lines = [
            versions,
            "wall: seconds; here and node: seconds of processor time, here without the VM and",
            "an ssh that connections share; commands: by sshd; bytes: as the node's card counts",
            "",
            _HEAD,
        ]
        print(*self._lines, sep="\n", flush=True)

    def add(self, case: Sequence[Row]) -> None:
        """One case: `ours` first, then the others."""
        self._cases.append(case)
        lines = [*_lines(case), f"{machine()}", ""]
        print(*lines, sep="\n", flush=True)
        self._lines += lines
        self._table.write_text("\n".join(self._lines))
        about = f"{self._versions}; {machine()}"
        cases = sorted(self._cases, key=lambda case: case[0].what == "apply")
        self._plot.write_text(plot([_line(one) for one in cases], about))


def _lines(case: Sequence[Row]) -> Iterator[str]:
    first = case[0].cost
    for row in case:
        begin = f"{row.what:6} {row.containers:10,}  {row.docker:6}  {row.way:8}"
        cost = row.cost
        if not cost:
            yield f"{begin}  left out: it takes too long"
            continue
        times = f"{cost.wall / first.wall:8.2f}" if first and row.way in WAYS else ""
        yield (
            f"{begin}  {row.rounds:6} {cost.wall:8.1f} {cost.here:8.1f} {cost.node:8.1f}"
            f"  {cost.commands:8,.0f}  {cost.forks:8,.0f}"
            f"  {cost.sent:10,.0f}  {cost.received:10,.0f}{times}"
        )


def _line(case: Sequence[Row]) -> Line:
    first = case[0]
    guests = f"{first.docker} run Docker" if first.docker else "none runs"
    name = f"{first.containers:,} containers, {guests}"
    if first.what == "apply":
        name = f"hardening {first.docker} that run Docker"
    seconds = {row.way: row.cost.wall for row in case if row.cost and row.way in WAYS}
    return Line(name, seconds, [row.way for row in case if not row.cost])
