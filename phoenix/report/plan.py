"""A plan as data: what a run would do, in its order, for review before it is done."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from phoenix.docker.names import DAEMON_JSON
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.text.printable import printable


def plan_data(plans: Sequence[NodePlan], run: str, recipe: str, now: datetime) -> dict[str, Any]:
    """The plans of all nodes as plain values; `run`: the id that the run has if it is done."""
    return {
        "time": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "run": run,
        "recipe": recipe,
        "nodes": [
            {
                "name": plan.node,
                "findings": [one.to_json() for one in plan.findings],
                "actions": [*_actions(plan)],
            }
            for plan in plans
        ],
    }


def plan_json(data: dict[str, Any]) -> str:
    """The text of the file, ASCII only."""
    return json.dumps(data, indent=2) + "\n"


def _actions(plan: NodePlan) -> Iterator[dict[str, Any]]:
    """What happens on a node, one after another, as the recipes have it."""
    for change in (plan.tunables, plan.site_tunables):
        if change:
            yield _action("tunables", diff=_diff(change.before, change.after))
    for file in plan.own_files:
        yield _action("file", path=file.path, diff=_diff(file.before, file.after))
    for profile in plan.profiles:
        yield _action(
            "profile",
            name=profile.name,
            reason=profile.reason,
            mode=profile.mode,
            diff=_diff(profile.before, profile.after),
        )
    for cut in plan.interrupted:
        yield _action("recover", ctid=cut.ctid, run=cut.run)
    for one in plan.packages:
        names = [*one.guest.packages] if one.guest else []
        yield _action("install-packages", ctid=one.ctid, packages=names)
    for one in plan.containers:
        yield _container(one)
    for removal in plan.removals:
        yield _action("remove-packages", ctid=removal.ctid, packages=[*removal.packages])
    for back in plan.files:
        yield _action("restore-file", path=back.path, diff=_diff(back.before, back.after))
    if plan.watch:
        files = [{"path": f.path, "diff": _diff(f.before, f.after)} for f in plan.watch.files]
        yield _action("watch", timer=plan.watch.timer, files=files)


def _container(change: ContainerChange) -> dict[str, Any]:
    guest = change.guest
    daemon = _diff(guest.before, guest.after) if guest and guest.file_changes else []
    return _action(
        "container",
        ctid=change.ctid,
        name=change.name,
        reasons=[printable(reason, None) for reason in change.reasons],
        label=str(change.label) if change.label else None,
        restart=change.restart,
        proves_docker=change.docker,
        accept=[*change.accept],
        diff=_diff(change.before.text, change.after.text),
        guest={DAEMON_JSON: daemon} if daemon else {},
    )


def _action(kind: str, **details: Any) -> dict[str, Any]:
    return {"action": kind, **details}


def _diff(before: str | None, after: str | None) -> list[str]:
    """The lines of a unified diff, printable; a file that is not there has none."""
    old, new = ((text or "").splitlines() for text in (before, after))
    lines = difflib.unified_diff(old, new, lineterm="", n=2)
    return [printable(line, None) for line in lines if not line.startswith(("---", "+++"))]
