"""The audit as data: one JSON file for machines; `phoenix.report.page` makes one for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from phoenix.apparmor.denials import ObservedDenials
from phoenix.apparmor.observed import Label
from phoenix.docker.observed import ObservedDocker
from phoenix.plan.audit import AuditedContainer, NodeAudit
from phoenix.plan.facts import NodeFacts
from phoenix.report.denial_data import flood_data, group_data, iso_time
from phoenix.report.denial_groups import DenialGroup
from phoenix.report.next_steps import next_steps
from phoenix.text.printable import printable


@dataclass(frozen=True)
class NodeReport:
    """All that one audit found on one node, and what its log has of denials.

    `facts`: what was seen; of these the report tells versions and what Docker runs.
    """

    audit: NodeAudit
    seen: ObservedDenials
    denials: Sequence[DenialGroup] = ()
    facts: NodeFacts = field(default_factory=NodeFacts)


def audit_data(nodes: Iterable[NodeReport], fleet: str, now: datetime) -> dict[str, Any]:
    """The audit as plain values; times are UTC, in ISO 8601. `fleet`: the fleet file's path."""
    nodes = list(nodes)
    containers = [one for node in nodes for one in node.audit.containers]
    return {
        "time": iso_time(now.timestamp()),
        "fleet": fleet,
        "containers": len(containers),
        "need_attention": sum(not one.ok for one in containers),
        "nodes_need_attention": [node.audit.node for node in nodes if not node.audit.ok],
        "next": [one.to_json() for one in next_steps(node.audit for node in nodes)],
        "nodes": [_node(node) for node in nodes],
    }


def audit_json(data: Mapping[str, Any]) -> str:
    """The text of the JSON file, ASCII only."""
    return json.dumps(data, indent=2) + "\n"


def _node(node: NodeReport) -> dict[str, Any]:
    seen, audit, dockers = node.seen, node.audit, node.facts.dockers
    return {
        "name": audit.node,
        "ok": not audit.needs_attention,
        "versions": _versions(node.facts),
        "findings": [one.to_json() for one in audit.findings],
        "containers": [_container(one, dockers.get(one.ctid)) for one in audit.containers],
        "log": seen.source,
        "log_begins": None if seen.begins is None else iso_time(seen.begins),
        "log_missing": printable(seen.missing, None),
        "lines_left_out": seen.left,
        "floods": [flood_data(one) for one in seen.floods],
        "spread_begins": iso_time(seen.begin) if seen.width else None,
        "spread_width": seen.width,
        "denials": [group_data(group) for group in node.denials if not group.denial.logged],
        "logged": [group_data(group) for group in node.denials if group.denial.logged],
    }


def _versions(facts: NodeFacts) -> dict[str, str]:
    """Of the node itself, each "" where it is not known."""
    seen, parser = facts.versions, facts.apparmor.parser
    found = {
        "proxmox": seen.packages.get("pve-manager", ""),
        "kernel": seen.release,
        "apparmor": seen.packages.get("apparmor", "") or ".".join(map(str, parser or ())),
        "lxc": seen.packages.get("lxc-pve", "") or seen.packages.get("lxc", ""),
    }
    return {name: printable(version) for name, version in found.items()}


def _container(one: AuditedContainer, docker: ObservedDocker | None) -> dict[str, Any]:
    return {
        "ctid": one.ctid,
        "name": one.name,
        "managed": one.managed,
        "wanted": one.wanted,
        "label": one.label,
        "confinement": _confinement(one.label),
        "docker": one.docker,
        "engine": _engine(docker) if docker else None,
        "ok": one.ok,
        "verdict": one.verdict,
    }


def _confinement(label: str) -> str:
    """What a label means in one word: `enforce`, `complain`, `unconfined` or `stopped`."""
    if label == "-":
        return "stopped"
    read = Label.parse(label)
    if read.confined:
        return "enforce"
    return "complain" if read.mode == "complain" else "unconfined"


def _engine(docker: ObservedDocker) -> dict[str, Any]:
    """What a guest says of its Docker, as far as its state lets it."""
    return {
        "state": docker.state,
        "os": docker.os,
        "version": docker.version,
        "runc": docker.runc_build or docker.runc,
        "driver": docker.driver,
        "images": docker.images,
        "volumes": docker.volumes,
        "containers": docker.containers,
        "running": docker.running,
        "workloads": [asdict(one) for one in docker.workloads],
    }
