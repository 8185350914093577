"""What a run has come to: of several nodes one line each, and as data for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from phoenix.report.denial_data import iso_time
from phoenix.report.groups import numbers
from phoenix.report.terminal import result_lines
from phoenix.text.printable import printable


class Kind(StrEnum):
    """How it stands with a container at the end of a run."""

    #: What was planned is there and proven.
    DONE = "done"
    #: It was as it shall be.
    UNCHANGED = "unchanged"
    #: It was refused, left alone or restored, or it is not known to be well.
    ATTENTION = "attention"
    #: Its node did not say: the connection was lost, and the node may work on it still.
    UNKNOWN = "unknown"
    #: Something had failed before its turn.
    NOT_BEGUN = "not-begun"


#: In a line of several nodes there is no more to say of these than their number.
_PLAIN = (Kind.DONE, Kind.UNCHANGED, Kind.NOT_BEGUN)

_DONE = {"harden": "hardened", "rollback": "undone", "create": "made"}


@dataclass(frozen=True)
class Ended:
    """What became of a container, in words."""

    ctid: int
    name: str
    kind: Kind
    text: str


@dataclass(frozen=True)
class NodeEnd:
    """What became of a node's containers, in their order.

    `as_wanted`: how many more of the run's containers it has, to which nothing was to be done;
    `failed`: whether something has failed that is about the node and none of them.
    """

    node: str
    containers: tuple[Ended, ...] = ()
    as_wanted: int = 0
    failed: bool = False

    def of(self, kind: Kind) -> list[int]:
        """The CTIDs of a kind."""
        return [one.ctid for one in self.containers if one.kind is kind]

    def count(self, kind: Kind) -> int:
        """How many there are of a kind."""
        return len(self.of(kind)) + (self.as_wanted if kind is Kind.UNCHANGED else 0)


def end_lines(
    ends: Sequence[NodeEnd], recipe: str, left_out: Sequence[str], everything: bool
) -> Iterator[str]:
    """Of one node the table of its containers; of several a line each at the end.

    Then a table has those alone that one has to look at, unless `everything` is asked for.
    """
    several = len(ends) > 1
    for end in ends:
        shown = [
            (one.ctid, one.name, one.text)
            for one in end.containers
            if everything or not several or one.kind not in _PLAIN
        ]
        if shown:
            yield from result_lines(end.node, shown)
    if several:
        for end in ends:
            yield printable(f"{end.node}: {_line(end, recipe)}", None)
        for name in left_out:
            yield printable(f"{name}: left out, nothing is known of what runs there", None)


def end_data(
    ends: Sequence[NodeEnd], recipe: str, run: str, left_out: Sequence[str], now: datetime
) -> dict[str, Any]:
    """The same as plain values; `run`: its id, by which it can be rolled back."""
    return {
        "time": iso_time(now.timestamp()),
        "recipe": recipe,
        "run": run,
        "nodes": [
            {
                "name": end.node,
                "ok": not end.failed and not any(map(end.of, (*_BAD, Kind.NOT_BEGUN))),
                "failed": end.failed,
                "counts": {str(kind): end.count(kind) for kind in Kind},
                "containers": [
                    {
                        "ctid": one.ctid,
                        "name": printable(one.name),
                        "ended": str(one.kind),
                        "text": printable(one.text, None),
                    }
                    for one in end.containers
                ],
            }
            for end in ends
        ],
        "left_out": [*left_out],
    }


def end_json(data: dict[str, Any]) -> str:
    """The text of the file, ASCII only."""
    return json.dumps(data, indent=2) + "\n"


_BAD = (Kind.ATTENTION, Kind.UNKNOWN)


def _line(end: NodeEnd, recipe: str) -> str:
    parts = []
    if done := end.count(Kind.DONE):
        parts.append(f"{done} {_DONE.get(recipe, 'done')}")
    if unchanged := end.count(Kind.UNCHANGED):
        parts.append(f"{unchanged} unchanged")
    if bad := end.of(Kind.ATTENTION):
        parts.append(
            f"{len(bad)} {'needs' if len(bad) == 1 else 'need'} attention ({numbers(bad)})"
        )
    if unknown := end.of(Kind.UNKNOWN):
        parts.append(f"{len(unknown)} unknown ({numbers(unknown)})")
    if waiting := end.count(Kind.NOT_BEGUN):
        parts.append(f"{waiting} not begun")
    if end.failed:
        parts.append("a step of the node itself failed, see above")
    return ", ".join(parts) or "done"
