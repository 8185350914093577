"""Who must not be down at the same time as another (`apart` in the fleet file)."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Leave those of a plan as they are whose restart, or Docker's, would have both halves down.

    `nodes`: what is known of all nodes, by name. A partner that no node has does not count; of one
    on a node that nobody asked it is not known whether it runs.
    """
    others = partners(fleet)
    held = {}
    for change in plan.containers:
        stops = change.restart or change.guest
        its = sorted(others.get(change.ctid, ())) if stops else ()
        if why := next(filter(None, (_down(one, nodes) for one in its)), ""):
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
    # nor has it new rules, unproven
    forms = (wanted(fleet.containers[ctid], options) for ctid in held if ctid in fleet.containers)
    own = {one.profile for one in forms if one.own is not None}
    return replace(
        plan,
        profiles=tuple(one for one in plan.profiles if one.name not in own),
        containers=tuple(one for one in plan.containers if one.ctid not in held),
        installs=tuple(one for one in plan.installs if one.ctid not in held),
        findings=(*plan.findings, *findings),
    )


def _down(ctid: int, nodes: Mapping[str, ObservedPct]) -> str:
    """What is wrong with a partner, "" if it runs or there is none."""
    for name, pct in nodes.items():
        if found := pct.containers.get(ctid):
            return "" if found.running else f"CT {ctid} on {name}, which does not run"
    for pct in nodes.values():
        if node := pct.elsewhere.get(ctid):
            return f"CT {ctid} on {node}, which this run does not reach"
    return ""
