"""What a run left of containers that have moved since: a rollback finds it where it was written.

A node's journal and what it kept stay on the node; the container and its conf go. So the part of
each container is handed to the node where it is now, with the texts that its rollback needs. What
they are is checked as it is for the node's own: a before-image by its digest, the conf by what the
journal says.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TypeVar

from phoenix.plan.rollback import Node
from phoenix.runs.record import Change, RunRecord

H = TypeVar("H", bound=Hashable)


def gathered(run: str, nodes: Mapping[H, Node]) -> dict[H, Node]:
    """The same nodes, each with the part of the containers that are there now.

    What cannot be handed on stays, with the reason in `stays`.
    """
    found = dict(nodes)
    for here, node in nodes.items():
        for ctid in _gone(run, node):
            there = [one for one in nodes if one != here and _has(nodes[one], ctid, node)]
            if not there:
                continue
            if why := _stays(run, ctid, node, [nodes[one] for one in there]):
                stays = {**found[here].stays, ctid: why}
                found[here] = replace(found[here], stays=stays)
                continue
            found[here], found[there[0]] = _handed(ctid, found[here], found[there[0]])
    return found


def _gone(run: str, node: Node) -> list[int]:
    """The containers that a run has changed here, and that are on another node now."""
    changed = dict.fromkeys(one.thing.ctid for one in _standing(run, node))
    return [ctid for ctid in changed if ctid is not None and ctid in node.pct.elsewhere]


def _standing(run: str, node: Node) -> list[Change]:
    return [
        change
        for record in node.runs
        if record.id == run
        for change in record.changes
        if change.stands
    ]


def _has(node: Node, ctid: int, of: Node) -> bool:
    """Whether a container is here, as the node that had it says."""
    return ctid in node.pct.containers and of.pct.elsewhere[ctid] == node.pct.node


def _stays(run: str, ctid: int, node: Node, there: list[Node]) -> str:
    """Why the part of a container stays where it was written, "" if it does not."""
    mine = [one for one in _standing(run, node) if one.thing.ctid == ctid]
    if len(there) > 1:
        return "several nodes of this run have that name: undo it with those of its cluster alone"
    if any(one.outcome == "open" for one in mine):
        return "it is recovered first"
    if any(one.creates for one in mine):
        return f"this run has made it: pct destroy {ctid} there if it is not needed any more"
    if any(record.format == 1 for record in node.runs if record.id == run):
        return "this run's journal is of an older version: put it right by hand"
    if any(one.thing.ctid == ctid for one in _standing(run, there[0])):
        return "this run has changed it there as well: put right by hand what is left then"
    return ""


def _handed(ctid: int, here: Node, there: Node) -> tuple[Node, Node]:
    """Both nodes once the part of a container has gone from one to the other."""
    records = {record.id: record for record in there.runs}
    for record in here.runs:
        if mine := tuple(one for one in record.changes if one.thing.ctid == ctid):
            its = records.get(record.id, replace(record, changes=(), ha={}))
            records[record.id] = replace(its, changes=(*its.changes, *mine))
    kept, its_own = there.run_files, here.run_files
    merged = replace(
        kept,
        files={**its_own.files, **kept.files},
        staged={**kept.staged, ctid: its_own.staged.get(ctid, {})},
        guest_files={**kept.guest_files, ctid: its_own.guest_files.get(ctid, {})},
    )
    left = tuple(_without(record, ctid) for record in here.runs)
    came = {**there.came, ctid: here.pct.node}
    return (
        replace(here, runs=left),
        replace(there, runs=tuple(sorted(records.values(), key=_id)), run_files=merged, came=came),
    )


def _without(record: RunRecord, ctid: int) -> RunRecord:
    return replace(record, changes=tuple(one for one in record.changes if one.thing.ctid != ctid))


def _id(record: RunRecord) -> str:
    return record.id
