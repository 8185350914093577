"""Denials as plain values: for `phoenix denials --json`, and for an audit's `audit.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from phoenix.apparmor.denials import Flood, ObservedDenials
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
        "log_missing": seen.missing,
        "lines_left_out": seen.left,
        "floods": [flood_data(one) for one in seen.floods],
        "denials": [group_data(group) for group in groups],
    }


def group_data(group: DenialGroup) -> dict[str, Any]:
    """One kind: whose, what, how often, and what to do about it."""
    one = group.denial
    return {
        "ctids": list(group.ctids),
        "whose": printable(group.who, None),
        "engine_container": engine_container(one),
        "owner": asdict(one.owner) if one.owner else None,
        "became": became(one),
        "would_have_been": one.complain,
        "what": what(one),
        "text": denial_text(one),
        "count": one.count,
        "first": iso_time(one.first or one.last),
        "last": iso_time(one.last),
        "spread": [list(pair) for pair in one.spread],
        "operation": printable(one["operation"]),
        "subject": one.subject,
        "comm": printable(one["comm"]),
        "profile": printable(one["profile"]),
        "rule": one.rule,
        "next_step": group.next_step,
    }


def flood_data(one: Flood) -> dict[str, Any]:
    """A profile that had more kinds than are told."""
    return {
        "profile": printable(one.profile),
        "lines": one.lines,
        "first": iso_time(one.first),
        "last": iso_time(one.last),
    }


def iso_time(seconds: float) -> str:
    """A time as programs read it."""
    return f"{utc(seconds):%Y-%m-%dT%H:%M:%SZ}"
