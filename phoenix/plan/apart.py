"""Who must not be down at the same time as another: `apart` in the fleet file, and what a run has
staged of it for its rollback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from phoenix.fleet.model import Fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.confinement import wanted
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.options import Options
from phoenix.plan.turns import partners
from phoenix.pve.observed import ObservedPct


def hold_apart(
    plan: NodePlan, fleet: Fleet, options: Options, nodes: Mapping[str, ObservedPct]
) -> NodePlan:
    """What the fleet file keeps apart noted in a plan, and held (`hold_noted`)."""
    others = partners(fleet)
    noted = tuple(
        replace(one, apart=tuple(sorted(others.get(one.ctid, ())))) for one in plan.containers
    )
    found = hold_noted(replace(plan, containers=noted), nodes)
    held = {one.ctid for one in noted} - {one.ctid for one in found.containers}
    # nor has it new rules, unproven
    forms = (wanted(fleet.containers[ctid], options) for ctid in held if ctid in fleet.containers)
    own = {one.profile for one in forms if one.own is not None}
    return replace(found, profiles=tuple(one for one in plan.profiles if one.name not in own))


def hold_noted(plan: NodePlan, nodes: Mapping[str, ObservedPct]) -> NodePlan:
    """Leave those of a plan as they are whose restart, or Docker's, would have both halves down.

    `nodes`: what is known of all nodes, by name. A partner that no node has does not count; of one
    on a node that nobody asked it is not known whether it runs.
    """
    held = {}
    for change in plan.containers:
        stops = change.restart or change.guest
        if stops and (why := _one_down(change.apart, nodes)):
            held[change.ctid] = (change.name, why)
    findings = [
        Finding(
            Code.APART,
            Severity.WARNING,
            f"kept apart from {why}: it is not restarted now",
            ctid,
            name,
            "have that one running first",
        )
        for ctid, (name, why) in held.items()
    ]
    return replace(
        plan,
        containers=tuple(one for one in plan.containers if one.ctid not in held),
        installs=tuple(one for one in plan.installs if one.ctid not in held),
        removals=tuple(one for one in plan.removals if one.ctid not in held),
        findings=(*plan.findings, *findings),
    )


def hold_recoveries(
    plan: NodePlan,
    others: Mapping[int, AbstractSet[int]],
    here: ObservedPct,
    nodes: Mapping[str, ObservedPct],
) -> NodePlan:
    """Leave what was interrupted as it is where recovering it may have both halves down.

    That may restart a container that runs. One that is down is only brought up by it, one that was
    being made or destroyed serves nobody, and to put a state of HA back restarts nothing: these are
    recovered. `others`: of each container those that are kept apart from it; `here`: what is known
    of the plan's node.
    """
    held = {}
    for cut in plan.interrupted:
        its = here.containers.get(cut.ctid)
        restarts = its is not None and its.running and not (cut.makes or cut.destroys or cut.ha)
        if restarts and (why := _one_down(others.get(cut.ctid, ()), nodes)):
            held[cut.ctid] = (cut.run, why)
    findings = [
        Finding(
            Code.APART,
            Severity.WARNING,
            f"run {run} was interrupted there, and recovering it may restart it; it is kept apart "
            f"from {why}: it is not recovered now",
            ctid,
            fix="have that one running first",
        )
        for ctid, (run, why) in held.items()
    ]
    return replace(
        plan,
        interrupted=tuple(one for one in plan.interrupted if one.ctid not in held),
        findings=(*plan.findings, *findings),
    )


def staged_apart(staged: Mapping[str, str]) -> tuple[int, ...]:
    """The partners of a container, as the run that is rolled back has staged them.

    A run of an earlier version has none of it.
    """
    return tuple(map(int, re.findall(r"(?m)^[1-9][0-9]{2,8}$", staged.get("apart", ""))))


def _one_down(these: Iterable[int], nodes: Mapping[str, ObservedPct]) -> str:
    """What is wrong with the first of these that does not run, "" if all of them do."""
    return next(filter(None, (_down(one, nodes) for one in sorted(these))), "")


def _down(ctid: int, nodes: Mapping[str, ObservedPct]) -> str:
    """What is wrong with a partner, "" if it runs or there is none."""
    for name, pct in nodes.items():
        if found := pct.containers.get(ctid):
            return "" if found.running else f"CT {ctid} on {name}, which does not run"
    for pct in nodes.values():
        if node := pct.elsewhere.get(ctid):
            return f"CT {ctid} on {node}, which this run does not reach"
    return ""
