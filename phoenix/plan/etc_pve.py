"""That /etc/pve takes the confs which a run is going to write."""

from __future__ import annotations

from collections.abc import Iterator

from phoenix.plan.actions import NodePlan
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.etc_pve import ObservedEtcPve


def check_etc_pve(plan: NodePlan, seen: ObservedEtcPve) -> Iterator[Finding]:
    """Find that no conf can be written, where the plan has one to write or to recover."""
    if (plan.containers or plan.interrupted or plan.destructions) and seen.refusal:
        why, fix = seen.refusal
        yield Finding(Code.PVE_READ_ONLY, Severity.ERROR, why, fix=fix)
