"""What to do next, from all that an audit found: the worst first, things of a kind together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from phoenix.plan.audit import HARDEN, NodeAudit
from phoenix.plan.findings import DRIFT, Code, Finding, Severity
from phoenix.text.printable import printable

#: How drift goes, which says no way of its own.
MENDED = f"put right by {HARDEN}; with --dry it shows what that changes"


@dataclass(frozen=True)
class NextStep:
    """All findings of one severity and code; `about`: the node of each and the finding itself."""

    severity: Severity
    code: Code
    about: tuple[tuple[str, Finding], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the audit's JSON file has them."""
        return {
            "severity": str(self.severity),
            "code": str(self.code),
            "about": [
                {
                    "node": node,
                    "ctid": one.ctid,
                    "name": printable(one.name),
                    "message": printable(one.message, None),
                    "fix": printable(one.fix, None) or (MENDED if one.code in DRIFT else ""),
                }
                for node, one in self.about
            ],
        }


def next_steps(audits: Iterable[NodeAudit]) -> list[NextStep]:
    """Errors, warnings, notes; of equal weight what most are about first."""
    found: dict[tuple[Severity, Code], list[tuple[str, Finding]]] = {}
    for audit in audits:
        for one in audit.findings:
            found.setdefault((one.severity, one.code), []).append((audit.node, one))
    steps = [NextStep(*key, tuple(about)) for key, about in found.items()]
    order = list(Severity)
    return sorted(steps, key=lambda one: (order.index(one.severity), -len(one.about)))
