"""Denials as plain values: what `phoenix denials --json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from phoenix.apparmor.denials import ObservedDenials
from phoenix.report.denial_groups import DenialGroup
from phoenix.report.denial_lines import became, denial_text, utc
from phoenix.report.denial_words import engine_container, what
from phoenix.text.printable import printable


def node_data(node: str, seen: ObservedDenials, groups: Sequence[DenialGroup]) -> dict[str, Any]:
    """What one node's log has; times are UTC, in ISO 8601."""
    return {
        "node": node,
        "log": seen.source,
        "log_begins": None if seen.begins is None else iso_time(seen.begins),
        "log_lacks": seen.missing,
        "lines_left_out": seen.left,
        "floods": [
            asdict(one) | {"first": iso_time(one.first), "last": iso_time(one.last)}
            for one in seen.floods
        ],
        "denials": [group_data(group) for group in groups],
    }


def group_data(group: DenialGroup) -> dict[str, Any]:
    """One kind: whose, what, how often, and what to do about it."""
    one = group.denial
    return {
        "ctids": list(group.ctids),
        "whose": printable(group.who, None),
        "engine_container": engine_container(one),
        "became": became(one),
        "what": what(one),
        "text": denial_text(one),
        "count": one.count,
        "first": iso_time(one.first or one.last),
        "last": iso_time(one.last),
        "operation": printable(one["operation"]),
        "comm": printable(one["comm"]),
        "profile": printable(one["profile"]),
        "rule": one.rule,
        "next_step": group.next_step,
    }


def iso_time(seconds: float) -> str:
    """A time as programs read it."""
    return f"{utc(seconds):%Y-%m-%dT%H:%M:%SZ}"
