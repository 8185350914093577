"""A plan as data: what a run would do, in its order, for review before it is done."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from phoenix.docker.names import DAEMON_JSON
from phoenix.plan.actions import (
    Action,
    ContainerChange,
    Destruction,
    FileRevert,
    NodePlan,
    Removal,
    WatchChange,
)
from phoenix.plan.creation import Creation
from phoenix.plan.install import InstallChange
from phoenix.plan.profiles import OwnFileChange, ProfileChange
from phoenix.plan.reasons import Reason
from phoenix.plan.site_tunables import SiteTunablesChange
from phoenix.plan.tunables import TunablesChange
from phoenix.runs.files import Interrupted
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
                "actions": [_action(one) for one in plan.actions],
            }
            for plan in plans
        ],
    }


def plan_json(data: dict[str, Any]) -> str:
    """The text of the file, ASCII only."""
    return json.dumps(data, indent=2) + "\n"


def _action(one: Action) -> dict[str, Any]:
    """What happens in one step, by its kind."""
    match one:
        case TunablesChange() | SiteTunablesChange():
            return _step("tunables", diff=_diff(one.before, one.after))
        case OwnFileChange():
            return _step("file", path=one.path, diff=_diff(one.before, one.after))
        case ProfileChange():
            words = {"name": one.name, "reason": _why(one.reason), "mode": one.mode}
            return _step("profile", **words, diff=_diff(one.before, one.after))
        case Interrupted():
            return _step("recover", ctid=one.ctid, run=one.run)
        case Creation():
            return _creation(one)
        case ContainerChange():
            return _container(one)
        case InstallChange():
            return _install(one)
        case Destruction():
            diff, stays = _diff(one.before.text, None), [*one.stays]
            return _step("destroy", ctid=one.ctid, name=one.name, stays=stays, diff=diff)
        case Removal():
            daemon = _diff(one.daemon.before, one.daemon.after) if one.daemon else []
            guest = {DAEMON_JSON: daemon} if daemon else {}
            return _step("remove-packages", ctid=one.ctid, packages=[*one.packages], guest=guest)
        case FileRevert():
            return _step("restore-file", path=one.path, diff=_diff(one.before, one.after))
        case WatchChange():
            files = [{"path": f.path, "diff": _diff(f.before, f.after)} for f in one.files]
            return _step("watch", timer=one.timer, files=files)


def _container(change: ContainerChange) -> dict[str, Any]:
    guest = change.guest
    daemon = _diff(guest.before, guest.after) if guest and guest.file_changes else []
    return _step(
        "container",
        ctid=change.ctid,
        name=change.name,
        reasons=[_why(reason) for reason in change.reasons],
        label=str(change.label) if change.label else None,
        restart=change.restart,
        proves_docker=change.docker,
        architecture=change.architecture,
        accept=[*change.accept],
        ha=change.ha or None,
        health_check=asdict(change.health) if change.health else None,
        diff=_diff(change.before.text, change.after.text),
        packages=[*guest.packages] if guest else [],
        guest={DAEMON_JSON: daemon} if daemon else {},
    )


def _creation(one: Creation) -> dict[str, Any]:
    change, install = one.change, one.install
    return _step(
        "create",
        ctid=one.ctid,
        name=one.name,
        pct=[["pct", *words] for words in one.pct],
        label=str(change.label) if change.label else None,
        proves_docker=change.docker,
        architecture=change.architecture,
        diff=_diff(None, change.after.text),
        datasets=[{"name": d.name, "quota": d.quota, "owner": d.owner} for d in one.datasets],
        folders=[{"path": folder.path, "owner": folder.owner} for folder in one.folders],
        start=one.start,
        snapshot=one.snapshot,
        install={"source": install.source, "driver": install.driver} if install else None,
    )


def _install(change: InstallChange) -> dict[str, Any]:
    repository = change.install.repository
    return _step(
        "install-docker",
        ctid=change.ctid,
        name=change.name,
        reasons=[_why(change.reason)],
        label=str(change.label) if change.label else None,
        source=change.install.source,
        driver=change.install.driver,
        repository=repository and {"url": repository.url, "fingerprint": repository.fingerprint},
        architecture=change.architecture,
    )


def _step(kind: str, **details: Any) -> dict[str, Any]:
    return {"action": kind, **details}


def _why(reason: Reason) -> dict[str, str]:
    return {"why": reason.why, "text": printable(reason.text, None)}


def _diff(before: str | None, after: str | None) -> list[str]:
    """The lines of a unified diff, printable; a file that is not there has none."""
    old, new = ((text or "").splitlines() for text in (before, after))
    lines = difflib.unified_diff(old, new, lineterm="", n=2)
    return [printable(line, None) for line in lines if not line.startswith(("---", "+++"))]
