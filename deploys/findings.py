"""What the audit finds on all nodes: one table, what was denied, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_state

from deploys.run import ask, lock, show
from deploys.survey import Survey, look
from facts.audit import Denials
from phoenix.audit_report import NodeAudit, audit_data, audit_json, audit_page
from phoenix.denial_lines import denial_lines
from phoenix.denials import ObservedDenials, denial_starts, group_denials
from phoenix.fleet import Fleet
from phoenix.observed import ObservedPct
from phoenix.options import Options
from phoenix.report import Finding, audit_lines, audit_node, node_lines
from phoenix.workarounds import workaround_lines

PAGE = Path(__file__).parents[1] / "templates/report/audit.html.j2"

_audited: WeakSet[State] = WeakSet()


def audit() -> None:
    """Show one table for all nodes, and with strict=true fail the nodes that have findings.

    What would stop a hardening run is shown and does not stop the audit; what was denied is shown
    and is no finding.
    """
    state = ctx_state.get()
    with lock:
        if state in _audited:
            return
        _audited.add(state)
        run = look(state, _everybody)
        findings: dict[Host, list[Finding]] = {
            host: audit_node(run.fleet, run.options, pct, run.dockers[host], run.plans[host])
            for host, pct in run.pct.items()
        }
        show(run.problems)
        show(line for plan in run.plans.values() for line in node_lines(plan))
        show(audit_lines([finding for found in findings.values() for finding in found]))
        denials = ask(state, lambda host: _denials(host, run))
        audits = [
            NodeAudit(
                pct,
                run.plans[host],
                findings[host],
                denials[host],
                group_denials(denials[host], pct.containers, run.options),
            )
            for host, pct in run.pct.items()
        ]
        for host, one in zip(run.pct, audits, strict=True):
            containers, wanted = one.pct.containers, run.fleet.containers
            holds = {ctid: docker.holds for ctid, docker in run.dockers[host].items()}
            show(workaround_lines(one.pct.node, containers, wanted, run.options.only, holds))
            show(denial_lines(one.pct.node, one.seen, one.denials, run.options))
        if run.options.report:
            _write_report(Path(run.options.report), audits, run)
        if run.options.strict:
            state.failed_hosts |= {
                host
                for host, found in findings.items()
                if run.plans[host].tunables
                or run.plans[host].site_tunables
                or run.plans[host].hook
                or run.plans[host].problems
                or not all(f.ok for f in found)
            }


def _everybody(fleet: Fleet, options: Options, node: ObservedPct) -> Sequence[int]:
    return [
        ct.ctid
        for ct in node.containers.values()
        if ct.pid and (not options.only or ct.ctid in options.only)
    ]


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


def _denials(host: Host, run: Survey) -> ObservedDenials:
    """No command where no container runs and no time is given."""
    since = run.options.since
    starts = denial_starts(run.pct[host].containers.values(), run.options.only)
    if since is None and not starts:
        return ObservedDenials()
    return host.get_fact(Denials, since=tuple(starts) if since is None else (since,))
