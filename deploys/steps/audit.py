"""What the audit finds on all nodes: one table, what was denied, and the report."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

from pyinfra.api import State
from pyinfra.context import ctx_state

from deploys.steps.asking import lock
from deploys.steps.screen import show, write
from deploys.steps.survey import Survey, look
from operations.diff import tells_all
from phoenix.plan.actions import NodePlan
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.questions import asked_by_audit
from phoenix.report.audit import NodeReport, audit_data, audit_json
from phoenix.report.denial_groups import group_denials
from phoenix.report.denial_lines import denial_lines
from phoenix.report.page import audit_page
from phoenix.report.terminal import audit_lines

PAGE = Path(__file__).parents[2] / "templates/report/audit.html.j2"

_audited: WeakSet[State] = WeakSet()


def audit() -> None:
    """Show one table for all nodes, and with strict=true fail the nodes that need attention.

    What would stop a hardening run is shown and does not stop the audit; what was denied, and what
    fell over since a run proved it, is shown and needs none.
    """
    state = ctx_state.get()
    with lock:
        if state in _audited:
            return
        _audited.add(state)
        run = look(state, "audit", asked_by_audit)
        reports = {host: _report(run, facts, run.plans[host]) for host, facts in run.facts.items()}
        show(audit_lines([one.audit for one in reports.values()], tells_all(state)))
        for one in reports.values():
            show(denial_lines(one.audit.node, one.seen, one.denials, run.options))
        if run.options.report:
            data = audit_data(reports.values(), run.options.fleet, datetime.now(UTC))
            folder = Path(run.options.report)
            write(folder / "audit.json", audit_json(data), "report")
            write(folder / "audit.html", audit_page(data, PAGE.read_text()), "report")
        if run.options.strict:
            found = {host for host, one in reports.items() if one.audit.needs_attention}
            state.failed_hosts |= found


def _report(run: Survey, facts: NodeFacts, plan: NodePlan) -> NodeReport:
    """What was found on one node, and what was denied to the containers that it is about."""
    pct, options = facts.containers, run.options
    found = audit_node(fleet=run.fleet, options=options, facts=facts, plan=plan)
    audited = [one.ctid for one in found.containers]
    denials = group_denials(facts.denials, pct.containers, options, audited)
    return NodeReport(found, facts.denials, denials, facts)
