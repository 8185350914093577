"""A first look at nodes: what an operator reads of it, and the same as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from phoenix.plan.doctor import ContainerLook, NodeLook, Readiness
from phoenix.plan.doctor_checks import Check
from phoenix.plan.doctor_next import NextCommand
from phoenix.report.denial_data import iso_time
from phoenix.report.groups import finding_lines
from phoenix.report.terminal import table
from phoenix.text.printable import printable


def doctor_lines(looks: Sequence[NodeLook], everything: bool = False) -> Iterator[str]:
    """Each node by itself: the checks, what was found, its containers as a table."""
    for look in looks:
        yield printable(f"{look.node}: a first look, nothing was changed", None)
        yield from table([[one.state, one.aspect, _text(one)] for one in look.checks])
        for line in finding_lines(look.findings, everything):
            yield printable(f"{look.node}: {line}", None)
        if look.containers:
            rows = [["CTID", "NAME", "LIVE LABEL", "DOCKER", "BACKUP", "STATE", "VERDICT"]]
            yield from table([*rows, *map(_row, look.containers)])
        if not look.broken:
            yield printable(f"{look.node}: {_count(look)}", None)


def next_lines(one: NextCommand) -> Iterator[str]:
    """What to type, and why."""
    where = f", on {one.node}" if one.node else ""
    yield printable(f"next{where}: {one.why}", None)
    if one.command:
        yield printable(f"  {one.command}", None)


def doctor_data(
    looks: Sequence[NodeLook], step: NextCommand, fleet: str, now: datetime
) -> dict[str, Any]:
    """The same as plain values; `now`: in UTC; `fleet`: the fleet file's path, "" without one."""
    return {
        "time": iso_time(now.timestamp()),
        "fleet": fleet,
        "next": {key: printable(str(value), None) for key, value in asdict(step).items()},
        "nodes": [
            {
                "name": look.node,
                "ok": not look.broken,
                "checks": [_check(one) for one in look.checks],
                "findings": [one.to_json() for one in look.findings],
                "containers": [_container(one) for one in look.containers],
                "entries": {str(ctid): dict(entry) for ctid, entry in look.entries.items()},
            }
            for look in looks
        ],
    }


def doctor_json(data: dict[str, Any]) -> str:
    """The text of the JSON file, ASCII only."""
    return json.dumps(data, indent=2) + "\n"


def _text(check: Check) -> str:
    return ": ".join(filter(None, (check.text, check.fix)))


def _row(one: ContainerLook) -> list[str]:
    return [str(one.ctid), one.name, one.label, one.docker, one.backup, one.readiness, one.text]


def _count(look: NodeLook) -> str:
    count = len(look.containers)
    states = [one.readiness for one in look.containers]
    each = [f"{states.count(one)} {one}" for one in Readiness if one in states]
    return f"{count} container{'s' * (count != 1)}{': ' if each else ''}{', '.join(each)}"


def _check(one: Check) -> dict[str, str]:
    return {
        "aspect": str(one.aspect),
        "state": one.state,
        "text": printable(one.text, None),
        "fix": printable(one.fix, None),
    }


def _container(one: ContainerLook) -> dict[str, Any]:
    return {
        "ctid": one.ctid,
        "name": printable(one.name),
        "label": printable(one.label, None),
        "docker": printable(one.docker, None),
        "backup": one.backup,
        "state": str(one.readiness),
        "open": one.is_open,
        "text": printable(one.text, None),
    }
