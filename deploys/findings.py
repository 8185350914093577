"""What the audit finds on all nodes: one table, what was denied, and the report."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

from pyinfra.api import DeployError, State
from pyinfra.context import ctx_state

from deploys.run import lock, show
from deploys.survey import Survey, look
from phoenix.docker.fallen import fallen_lines
from phoenix.plan.questions import asked_by_audit
from phoenix.plan.workarounds import workaround_lines
from phoenix.report.audit import NodeAudit, audit_data, audit_json, audit_page
from phoenix.report.denial_groups import group_denials
from phoenix.report.denial_lines import denial_lines
from phoenix.report.terminal import audit_lines, audit_node, node_lines

PAGE = Path(__file__).parents[1] / "templates/report/audit.html.j2"

_audited: WeakSet[State] = WeakSet()


def audit() -> None:
    """Show one table for all nodes, and with strict=true fail the nodes that have findings.

    What would stop a hardening run is shown and does not stop the audit; what was denied, and what
    fell over since a run proved it, is shown and is no finding.
    """
    state = ctx_state.get()
    with lock:
        if state in _audited:
            return
        _audited.add(state)
        run = look(state, asked_by_audit)
        findings = {
            host: audit_node(
                run.fleet, run.options, facts.containers, facts.dockers, run.plans[host]
            )
            for host, facts in run.facts.items()
        }
        show(run.problems)
        show(line for plan in run.plans.values() for line in node_lines(plan))
        show(audit_lines([finding for found in findings.values() for finding in found]))
        audits = [
            NodeAudit(
                facts.containers,
                run.plans[host],
                findings[host],
                facts.denials,
                group_denials(facts.denials, facts.containers.containers, run.options),
                facts.fallen,
            )
            for host, facts in run.facts.items()
        ]
        for facts, one in zip(run.facts.values(), audits, strict=True):
            containers, wanted = one.pct.containers, run.fleet.containers
            holds = {ctid: docker.holds for ctid, docker in facts.dockers.items()}
            show(workaround_lines(one.pct.node, containers, wanted, run.options.only, holds))
            show(fallen_lines(one.pct.node, one.fallen))
            show(denial_lines(one.pct.node, one.seen, one.denials, run.options))
        if run.options.report:
            _write_report(Path(run.options.report), audits, run)
        if run.options.strict:
            state.failed_hosts |= {
                host
                for host, found in findings.items()
                if run.plans[host].tunables
                or run.plans[host].site_tunables
                or run.plans[host].own_files
                or run.plans[host].problems
                or not all(f.ok for f in found)
            }


def _write_report(folder: Path, audits: list[NodeAudit], run: Survey) -> None:
    now = datetime.now(UTC)
    data = audit_data(audits, run.fleet.containers, run.options.fleet, now)
    page = audit_page(data, PAGE.read_text())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "audit.json").write_text(audit_json(data))
        (folder / "audit.html").write_text(page, "utf-8", "backslashreplace")
    except OSError as error:
        raise DeployError(f"cannot write --data report={folder}: {error.strerror}") from None
    show([f"written: {folder / 'audit.json'}, {folder / 'audit.html'}"])
