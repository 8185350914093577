"""What the steps of a run have come to for each of a node's containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pyinfra.api.operation import OperationMeta

from phoenix.plan.actions import NodePlan
from phoenix.pve.observed import ObservedContainer
from phoenix.report.endings import Kind
from phoenix.report.terminal import result
from phoenix.runs.outcome import Ending, Outcome, read_outcome, read_outcomes


def concerned(plan: NodePlan, there: Mapping[int, ObservedContainer]) -> dict[int, str]:
    """The containers that a plan is about, with their names, in their order.

    `there`: those that the node had when it was asked. One that is not has no name.
    """
    confs = {ctid: one.conf.hostname or "" for ctid, one in there.items()}
    names = {one.ctid: confs.get(one.ctid, "") for one in plan.interrupted}
    for about in (plan.creations, plan.containers, plan.installs, plan.destructions):
        names |= {one.ctid: one.name for one in about}
    names |= {one.ctid: confs[one.ctid] for one in plan.removals if one.ctid in confs}
    # one that is left alone may be on another node
    return names | {ctid: confs.get(ctid, "") for ctid in plan.alone}


def came_to(
    ctid: int, steps: Sequence[OperationMeta], together: Collection[OperationMeta]
) -> tuple[Kind, str]:
    """How it stands with a container after its steps, and that in words.

    `together`: the steps that are about several containers.
    """
    parts = [_Part.of(step, ctid, step in together) for step in steps]
    failed = [part for part in parts if part.failed]
    ran = [part for part in failed[-1:] or parts if part.executed]
    told = [part.outcome for part in ran if part.outcome]
    done = any(one.ending is Ending.DONE for one in told)
    # before its commit may come packages, and after it in a rollback
    begun = failed or ran[-1:] == parts[-1:] or done
    if not (ran and begun):
        return Kind.NOT_BEGUN, "not begun"
    text = result(told, not failed)
    if failed:
        return (Kind.ATTENTION if told else Kind.UNKNOWN), text
    is_new = any(one.ending is not Ending.CHANGED for one in told)
    return (Kind.DONE if is_new else Kind.UNCHANGED), text


@dataclass(frozen=True, eq=False)
class _Part:
    """What a step has come to for one container."""

    executed: bool
    failed: bool
    outcome: Outcome | None

    @classmethod
    def of(cls, step: OperationMeta, ctid: int, of_several: bool) -> Self:
        """Read it. `of_several`: the step goes from one to the next, and ends where one fails."""
        failed = step.is_complete() and step.did_error()
        lines = step.stdout_lines if step.executed else []
        if not of_several:
            outcome = read_outcome(ctid, lines)
            is_lost = failed and _is_planned_anew(ctid, lines)
            return cls(step.executed, failed, None if is_lost else outcome)
        told = read_outcomes(lines)
        outcome = told.get(ctid)
        ends = any(one.ending not in (Ending.DONE, Ending.CHANGED) for one in told.values())
        if outcome:
            is_lost = failed and not ends and _is_planned_anew(ctid, lines)
            outcome = None if is_lost else outcome
            return cls(True, failed and (is_lost or told[ctid].ending is not Ending.DONE), outcome)
        # where none has failed the connection was lost
        return cls(step.executed and not ends, failed and not ends, None)


def _is_planned_anew(ctid: int, lines: Sequence[str]) -> bool:
    """Whether the last word of a container is that it is another one than was planned.

    What is begun then has an ending of its own; without it nobody knows what became of it.
    """
    told = [one for line in lines if (one := read_outcome(ctid, [line]))]
    return [one.ending for one in told] == [Ending.CHANGED]
