"""The audit as data: one JSON file for machines, one HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from jinja2 import StrictUndefined

from phoenix.apparmor.denials import ObservedDenials
from phoenix.docker.fallen import Fallen
from phoenix.fleet.model import Container
from phoenix.plan.actions import NodePlan
from phoenix.plan.workarounds import told
from phoenix.pve.observed import ObservedPct
from phoenix.report.denial_groups import DenialGroup
from phoenix.report.terminal import Finding
from phoenix.text.printable import printable
from phoenix.text.sandbox import Sandbox


@dataclass(frozen=True)
class NodeAudit:
    """All that one audit found on one node."""

    pct: ObservedPct
    plan: NodePlan
    findings: Sequence[Finding]
    seen: ObservedDenials
    denials: Sequence[DenialGroup]
    fallen: Mapping[int, Fallen] = field(default_factory=dict)


def audit_data(
    nodes: Iterable[NodeAudit], wanted: Mapping[int, Container], fleet: str, now: datetime
) -> dict[str, Any]:
    """The audit as plain values; times are UTC, in ISO 8601. `fleet`: the fleet file's path."""
    nodes = list(nodes)
    return {
        "time": _time(now.timestamp()),
        "fleet": fleet,
        "containers": sum(len(node.findings) for node in nodes),
        "to_look_at": sum(not found.ok for node in nodes for found in node.findings),
        "nodes": [_node(node, wanted) for node in nodes],
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


def _node(node: NodeAudit, wanted: Mapping[int, Container]) -> dict[str, Any]:
    seen = node.seen
    return {
        "name": node.pct.node,
        "problems": list(node.plan.problems),
        "tunables": [
            *(node.plan.tunables.lines() if node.plan.tunables else ()),
            *([node.plan.site_tunables.line] if node.plan.site_tunables else ()),
        ],
        "containers": [_container(found, node, wanted) for found in node.findings],
        "log": seen.source,
        "log_begins": None if seen.begins is None else _time(seen.begins),
        "lines_left_out": seen.left,
        "denials": [_denial(group) for group in node.denials if not group.denial.logged],
        "logged": [_denial(group) for group in node.denials if group.denial.logged],
    }


def _container(found: Finding, node: NodeAudit, wanted: Mapping[int, Container]) -> dict[str, Any]:
    container = wanted.get(found.ctid)
    lines = [
        {
            "line": one.raw.line.rstrip(),
            "opens": one.opens,
            "in_fleet_file": asked,
        }
        for one, asked in told(node.pct.containers[found.ctid], container)
    ]
    fallen = node.fallen.get(found.ctid, Fallen(""))
    return {
        **asdict(found),
        "workarounds": lines,
        "fell_over": {
            "since_run": fallen.run,
            "things": [{**asdict(one), "next_step": one.next_step} for one in fallen.things],
            "more": fallen.more,
            "cannot_be_told": fallen.why,
        },
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
