"""The audit as data: one JSON file for machines, one HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import StrictUndefined

from phoenix.apparmor.denials import ObservedDenials
from phoenix.plan.audit import AuditedContainer, NodeAudit
from phoenix.report.denial_groups import DenialGroup
from phoenix.text.printable import printable
from phoenix.text.sandbox import Sandbox


@dataclass(frozen=True)
class NodeReport:
    """All that one audit found on one node, and what its log has of denials."""

    audit: NodeAudit
    seen: ObservedDenials
    denials: Sequence[DenialGroup] = ()


def audit_data(nodes: Iterable[NodeReport], fleet: str, now: datetime) -> dict[str, Any]:
    """The audit as plain values; times are UTC, in ISO 8601. `fleet`: the fleet file's path."""
    nodes = list(nodes)
    containers = [one for node in nodes for one in node.audit.containers]
    return {
        "time": _time(now.timestamp()),
        "fleet": fleet,
        "containers": len(containers),
        "need_attention": sum(not one.ok for one in containers),
        "nodes_need_attention": [node.audit.node for node in nodes if not node.audit.ok],
        "nodes": [_node(node) for node in nodes],
    }


def audit_json(data: Mapping[str, Any]) -> str:
    """The text of the JSON file, ASCII only."""
    return json.dumps(data, indent=2) + "\n"


def audit_page(data: Mapping[str, Any], template: str) -> str:
    """The HTML page; names and labels come from containers, so everything is escaped."""
    environment = Sandbox(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    return environment.from_string(template).render(data)


def _node(node: NodeReport) -> dict[str, Any]:
    seen, audit = node.seen, node.audit
    return {
        "name": audit.node,
        "ok": not audit.needs_attention,
        "findings": [one.to_json() for one in audit.findings],
        "containers": [_container(one) for one in audit.containers],
        "log": seen.source,
        "log_begins": None if seen.begins is None else _time(seen.begins),
        "lines_left_out": seen.left,
        "denials": [_denial(group) for group in node.denials if not group.denial.logged],
        "logged": [_denial(group) for group in node.denials if group.denial.logged],
    }


def _container(one: AuditedContainer) -> dict[str, Any]:
    return {
        "ctid": one.ctid,
        "name": one.name,
        "managed": one.managed,
        "wanted": one.wanted,
        "label": one.label,
        "docker": one.docker,
        "ok": one.ok,
        "verdict": one.verdict,
    }


def _denial(group: DenialGroup) -> dict[str, Any]:
    one = group.denial
    return {
        "ctids": list(group.ctids),
        "whose": group.whose,
        "would_have_been": one.complain,
        "count": one.count,
        "last": _time(one.last),
        "operation": one["operation"],
        "subject": one.subject,
        "comm": printable(one["comm"]),
        "profile": printable(one["profile"]),
        "rule": one.rule,
        "next_step": one.next_step,
    }


def _plain(value: object) -> object:
    """What the page is given, without a control character."""
    return printable(value, None) if isinstance(value, str) else value


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
