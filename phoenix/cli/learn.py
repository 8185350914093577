"""`phoenix learn`: from what a node's log has of one container to its overlay, for review."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phoenix.apparmor.denials import ObservedDenials
from phoenix.apparmor.learn import Lesson, Seen, Whose, learn, written
from phoenix.apparmor.overlay import read_overlay
from phoenix.cli.nodes import NodeError, nodes
from phoenix.cli.overlays import overlays_beside, read_overlay_file
from phoenix.cli.since import since
from phoenix.fleet.document import MAX_BYTES
from phoenix.fleet.model import Container
from phoenix.fleet.overlays import overlay_file
from phoenix.fleet.parse import parse_fleet
from phoenix.fleet.values import ctid
from phoenix.plan.facts import NodeFacts, read_facts
from phoenix.plan.learning import carried, profile_names, whose
from phoenix.plan.options import Options
from phoenix.text.printable import printable
from phoenix.text.problems import FleetError, Problem

OK, FAILED, INVALID = 0, 1, 2
#: So many kinds of what gives no rule are told.
MOST_TOLD = 30


def add_learn(commands: Any) -> None:
    """Add the subcommand to those of an argparse parser."""
    command = commands.add_parser(
        "learn",
        help="make rules of what was refused to one container, for review",
        description="Show as a diff which rules a container's overlay lacks, profiles.d/CTID.rules "
        "beside the fleet file, for what AppArmor refused it or would have (mode=complain). "
        "Nothing is applied: the file is for review, and the next harden renders it into the "
        "container's own profile.",
        epilog="exit status: 0 done, 1 a node could not be asked or the file not written, 2 the "
        "fleet file, an overlay or the command line is wrong",
        allow_abbrev=False,
    )
    command.add_argument("ctid", metavar="CTID", type=_ctid, help="the container")
    command.add_argument(
        "--since",
        metavar="TIME",
        type=since,
        help="from then on: 2h, 3d, or 2026-11-22T14:30 (default: since it was started)",
    )
    command.add_argument(
        "--node",
        metavar="USER@NODE",
        action="append",
        default=[],
        help="ask this node, may be repeated (default: PHOENIX_NODES or PHOENIX_CLUSTER, this "
        "machine, or the lab)",
    )
    command.add_argument(
        "--fleet",
        metavar="FILE",
        type=Path,
        default=Path(Options().fleet),
        help="the fleet file (default: %(default)s)",
    )
    command.add_argument("--write", action="store_true", help="write the overlay")
    command.set_defaults(command=_learn)


def _learn(arguments: argparse.Namespace) -> int:
    fleet: Path = arguments.fleet
    try:
        container = _container(fleet, arguments.ctid)
        seen = _ask(container, arguments.node, arguments.since)
        file = fleet.parent / overlay_file(container.ctid)
        before, lines = _overlay(file, overlay_file(container.ctid))
    except FleetError as error:
        for problem in error.problems:
            _say(f"{fleet}: {problem}")
        return INVALID
    except NodeError as error:
        _say(str(error))
        return FAILED
    lesson = learn([(one.whose, one.log.denials) for one in seen], lines)
    text = before.decode()
    after = written(text, lesson, container.ctid, _in_words(arguments.since), datetime.now(UTC))
    _tell(container, seen, lesson)
    print(_diff(text, after, overlay_file(container.ctid)), end="")
    if not lesson.rules:
        _say("nothing to learn: no rule is missing for what was seen")
    elif not arguments.write:
        _say(f"new rules: {len(lesson.rules)}; --write writes them for review, harden applies them")
    else:
        return _write(file, before, after.encode())
    return OK


def _overlay(file: Path, name: str) -> tuple[bytes, Sequence[str]]:
    """The overlay as it is now, and its lines: the nodes took their time. Raises FleetError."""
    try:
        before = read_overlay_file(file) if file.exists() else b""
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise FleetError([Problem(name, "", reason)]) from None
    lines, flaws = read_overlay(before)
    if flaws:
        raise FleetError([Problem(f"{name}:{one.line}", one.text, one.why) for one in flaws])
    return before, lines


def _container(fleet: Path, number: int) -> Container:
    """The container as the fleet file has it. Raises FleetError."""
    try:
        with fleet.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}: name it with --fleet"
        raise FleetError([Problem("$", "", reason)]) from None
    containers = parse_fleet(data, overlays=overlays_beside(fleet)).containers
    if number not in containers:
        raise FleetError([Problem(f"lxc_configs.{number}", "", "is missing: add it there")])
    container = containers[number]
    if container.is_described:
        container = replace(container, profile=container.profile_when_made)
    if not container.named:
        hint = "only a profile with a name has an overlay: name one in apparmor_profile"
        raise FleetError([Problem(f"lxc_configs.{number}", container.profile, hint)])
    return container


# --- what the nodes say ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What one node said; `runs_as`: the profile that the container carries there, "" for none."""

    name: str
    log: ObservedDenials
    whose: Whose
    is_there: bool
    runs_as: str


def _ask(container: Container, named: list[str], since: int | None) -> list[_Asked]:
    """Raises NodeError for a node that cannot be asked, and where none has the container."""
    request: dict[str, dict[str, Any]] = {
        "containers": {},
        "apparmor": {"files": [*profile_names(container)]},
        "denials": {"since": None if since is None else [since], "only": [container.ctid]},
    }
    asked = [_read(node.name, node.ask(request), container) for node in nodes(named).nodes]
    if not any(one.is_there for one in asked):
        names = ", ".join(one.name for one in asked)
        raise NodeError(f"{names}: no container {container.ctid} there: name its node with --node")
    return asked


def _read(name: str, answer: Mapping[str, Any], container: Container) -> _Asked:
    try:
        facts = NodeFacts(**read_facts(answer))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"{name}: its answer is not understood: {type(error).__name__} {error}"
        raise NodeError(printable(text, None)) from None
    its = facts.containers.containers.get(container.ctid)
    return _Asked(
        name,
        facts.denials,
        whose(container, facts.containers, facts.apparmor),
        its is not None,
        carried(its) if its else "",
    )


# --- what it tells --------------------------------------------------------------------------------


def _tell(container: Container, asked: Iterable[_Asked], lesson: Lesson) -> None:
    """On stderr: what the log may lack, and what gives no rule."""
    for one in asked:
        for note in _notes(container, one):
            _say(f"note: {one.name}: {note}")
    _list("refused", lesson.refused)
    _list("left out", lesson.left_out)


def _notes(container: Container, asked: _Asked) -> Iterable[str]:
    log = asked.log
    if asked.runs_as and asked.runs_as not in asked.whose.own:
        yield (
            f"CT {container.ctid} runs under {printable(asked.runs_as)}, which others may carry: "
            f'give it "apparmor_own": true and "mode": "complain", harden, and let it work a while'
        )
    if log.begins is not None:
        yield f"its log begins at {datetime.fromtimestamp(log.begins, UTC):%Y-%m-%d %H:%M} UTC only"
    if log.missing:
        yield printable(log.missing, None)
    if log.left:
        names = printable(", ".join(sorted({flood.profile for flood in log.floods})), 200)
        whose = f", under {names}" if names else ""
        yield f"a flood: {log.left} lines of further kinds were counted and not told apart{whose}"


def _list(what: str, seen: tuple[Seen, ...]) -> None:
    for one in seen[:MOST_TOLD]:
        _say(f"{what}: {one.text} ({one.count}x): {one.why}")
    if len(seen) > MOST_TOLD:
        _say(f"{what}: {len(seen) - MOST_TOLD} more kinds")


def _diff(before: str, after: str, name: str) -> str:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    mark = "\n\\ No newline at end of file\n"
    lines = difflib.unified_diff(old, new, name, name)
    return "".join(line if line.endswith("\n") else f"{line}{mark}" for line in lines)


def _in_words(since: int | None) -> str:
    if since is None:
        return "it was started"
    then = since if since > 0 else datetime.now(UTC).timestamp() + since
    return f"{datetime.fromtimestamp(then, UTC):%Y-%m-%d %H:%M} UTC"


def _write(file: Path, before: bytes, after: bytes) -> int:
    """Put the overlay in its place at once, unless somebody changed it meanwhile."""
    target = file.resolve()  # a symlink stays one
    try:
        target.parent.mkdir(exist_ok=True)
        if (target.read_bytes() if target.exists() else b"") != before:
            _say(f"{file}: somebody changed it in the meantime; nothing was written, try again")
            return FAILED
        _replace(target, after)
    except OSError as error:
        _say(f"{file}: not written: {error.strerror or error}")
        return FAILED
    _say(f"written: {file}; review it, then harden (without mode=complain)")
    return OK


def _replace(target: Path, data: bytes) -> None:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(data)
            new.flush()
            os.fchmod(new.fileno(), mode)
            os.fsync(new.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _ctid(text: str) -> int:
    try:
        return ctid(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}, as in 910") from None


def _say(text: str) -> None:
    print(text, file=sys.stderr)
