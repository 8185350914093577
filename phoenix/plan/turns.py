"""Whose turn it is: in which order the containers of all nodes are restarted, and which of them at
the same time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from phoenix.fleet.model import Fleet
from phoenix.fleet.order import in_order
from phoenix.plan.actions import ContainerChange

#: One container at a time of all nodes, or one of each node.
Rolling = Literal[1, "nodes"]


@dataclass(frozen=True)
class Turn:
    """What is done at the same time, by node its container.

    `waits`: who of them depends on whom of another node; before such a turn both nodes are done
    with all that was to be done before.
    """

    containers: Mapping[str, int]
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True)
class Wait:
    """A container that depends on another one, each with its node."""

    ctid: int
    node: str
    other: int
    others_node: str

    def __str__(self) -> str:
        """For people."""
        return f"CT {self.ctid} on {self.node} waits for CT {self.other} on {self.others_node}"


def turns(
    changed: Mapping[str, Sequence[int]],
    rolling: Rolling,
    fleet: Fleet | None = None,
    apart: Mapping[int, AbstractSet[int]] | None = None,
) -> tuple[Turn, ...]:
    """The turns of a run, one after another.

    `changed`: by node its containers that are changed, in its own order, which stays; `fleet`: who
    depends on whom, on whatever node, and who is kept apart: both hold whatever `rolling` is. None:
    nobody knows, as in a rollback: one node after another, or all of them side by side, but for who
    is kept apart (`apart`: of each its partners).
    """
    # nodes that are in no cluster may have the same CTIDs
    nodes: dict[int, list[str]] = {}
    for node, ctids in changed.items():
        for ctid in ctids:
            nodes.setdefault(ctid, []).append(node)
    waits = _waits(fleet, {*nodes}) if fleet else {}
    apart = partners(fleet) if fleet else apart or {}
    found: list[dict[str, int]] = []
    across: list[list[Wait]] = []
    placed: dict[tuple[str, int], int] = {}
    last = dict.fromkeys(changed, -1)
    for node, ctid in _sequence(changed, nodes, fleet):
        its = [
            Wait(ctid, node, other, where)
            for other in sorted(waits.get(ctid, ()))
            # its own node's, where that has one
            for where in ([node] if node in nodes[other] else nodes[other])
        ]
        turn = 1 + max((last[node], *(placed[one.others_node, one.other] for one in its)))
        while turn < len(found) and apart.get(ctid, set()) & {*found[turn].values()}:
            turn += 1
        if rolling == 1:
            turn = len(found)
        found += [{} for _ in range(turn + 1 - len(found))]
        across += [[] for _ in range(turn + 1 - len(across))]
        found[turn][node] = ctid
        across[turn] += [one for one in its if one.others_node != node]
        placed[node, ctid] = last[node] = turn
    return tuple(map(Turn, found, map(tuple, across)))


def swapped_last(
    changes: Sequence[ContainerChange], snapshots: bool = False
) -> tuple[ContainerChange, ...]:
    """Those that have no turn but come last, in one step: a new conf is all that there is to them.

    They do not run, or take it as they run, and HA, which takes its time to let go of one, has
    nothing of them. None where it is one alone, or where each has a snapshot taken before its turn
    (`snapshots`).
    """
    swapped = tuple(one for one in changes if not (one.restart or one.guest or one.ha))
    return () if snapshots or len(swapped) == 1 else swapped


def in_turn(changed: Iterable[int], fleet: Fleet, everywhere: Collection[int]) -> list[int]:
    """These containers as the order of all nodes has them; `everywhere`: those of any node."""
    present = [one for ctid, one in fleet.containers.items() if ctid in everywhere]
    mine = {*changed}
    return [one.ctid for one in in_order(present) if one.ctid in mine]


def partners(fleet: Fleet) -> Mapping[int, AbstractSet[int]]:
    """Of each container those that are kept apart from it."""
    found: dict[int, set[int]] = {}
    for group in fleet.apart:
        for ctid in group:
            found.setdefault(ctid, set()).update({*group} - {ctid})
    return found


def _sequence(
    changed: Mapping[str, Sequence[int]], nodes: Mapping[int, Sequence[str]], fleet: Fleet | None
) -> Iterator[tuple[str, int]]:
    """All of them with their nodes, each node's own order kept."""
    if fleet is None:
        yield from ((node, ctid) for node, ctids in changed.items() for ctid in ctids)
        return
    for ctid in in_turn(nodes, fleet, {*nodes, *fleet.containers}):
        yield from ((node, ctid) for node in nodes[ctid])


def _waits(fleet: Fleet, changed: AbstractSet[int]) -> Mapping[int, AbstractSet[int]]:
    """Of each changed container the changed ones that it depends on, also through others."""
    found: dict[int, set[int]] = {}
    for container in in_order([*fleet.containers.values()]):
        # one that is in no file waits for nobody
        others = (found.get(other, set()) | {other} for other in container.dependencies)
        found[container.ctid] = {*chain.from_iterable(others)}
    return {ctid: found.get(ctid, set()) & changed for ctid in changed}
