"""The `phoenix` command: recipes, fleet files, profiles, denials, the lab.

The modules of `phoenix/cli` are the only ones of `phoenix/` that read files or run a program.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import stat
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from phoenix.apparmor.observed import PROFILE_NAME
from phoenix.apparmor.overlay import rules
from phoenix.cli.denials import add_denials
from phoenix.cli.learn import add_learn
from phoenix.cli.lint import add_lint
from phoenix.cli.overlays import overlays_beside
from phoenix.cli.recipes import add_recipes
from phoenix.fleet.adopt import Adoption, adopt
from phoenix.fleet.document import MAX_BYTES
from phoenix.fleet.overlays import overlay_file
from phoenix.fleet.parse import Container, Fleet, FleetError, Problem, parse_fleet
from phoenix.fleet.schema import schema_text
from phoenix.fleet.values import ctid
from phoenix.fleet.warnings import DOCKER_PROFILE, GENERATED
from phoenix.plan.render import profile_names

OK, FAILED, INVALID, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141
_TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "apparmor"

_EXITS = "exit status: 0 done, 1 failed, 2 the file or the command line is wrong"


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: the process' own) and return the exit status.

    Whatever goes wrong is said in a line on stderr; no exception leaves this function but
    SystemExit, which argparse raises for `--help` and for a wrong command line.
    """
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # a file may hold what the terminal's encoding cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _lab(argv[1:]) if argv[:1] == ["lab"] else _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _abandon(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:  # stdout on a full disk
        _abandon(sys.stdout)
        _say(f"cannot write the output: {error.strerror or error}")
        return FAILED
    return status


def _run(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    status: int = arguments.command(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="phoenix",
        description="Bring Proxmox containers under AppArmor as the fleet file says, and work with "
        "that file.",
        epilog="To bring a node to what the file says: phoenix harden root@pve1",
    )
    parser.add_argument("--version", action="version", version=f"phoenix-harden {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add_recipes(commands)

    check = commands.add_parser(
        "check",
        help="validate a fleet file and show what it means",
        description="Validate a fleet file. Shows what each container shall get and every "
        "warning, or every mistake with its JSON path.",
        epilog=_EXITS,
        allow_abbrev=False,
    )
    check.add_argument("file", metavar="FILE", type=Path, help="the fleet file")
    check.add_argument("--json", action="store_true", help="one JSON object on stdout")
    check.add_argument(
        "-v", "--verbose", action="store_true", help="also list the keys that mean nothing here"
    )
    check.set_defaults(command=_check)

    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of fleet files",
        description="Print the JSON Schema (draft 2020-12) of fleet files; name it in the file's "
        '"$schema" key and editors complete and underline.',
        epilog=_EXITS,
        allow_abbrev=False,
    )
    schema.set_defaults(command=_schema)

    adoption = commands.add_parser(
        "adopt",
        help="show or make the change that confines the containers",
        description="Show as a diff how a fleet file changes so that no container is unconfined: "
        "one with the docker feature names a profile that Docker works under, every other one "
        "generated, which is Proxmox's own; the lxc_options that contradict it go, the pct_options "
        "that Docker needs come. Everything else stays byte for byte.",
        epilog=_EXITS,
        allow_abbrev=False,
    )
    adoption.add_argument("file", metavar="FILE", type=Path, help="the fleet file")
    adoption.add_argument(
        "--profile",
        metavar="NAME",
        type=_profile_name,
        help=f"the profile to name for those with Docker (default: {DOCKER_PROFILE}), and for all "
        "that --only names",
    )
    adoption.add_argument(
        "--only",
        metavar="CTID,…",
        type=_ctids,
        help="change exactly these containers, whatever they name now",
    )
    adoption.add_argument(
        "--except",
        dest="spared",
        metavar="CTID,…",
        type=_ctids,
        default=(),
        help="leave these containers as they are",
    )
    adoption.add_argument(
        "--scope",
        choices=("all", "docker"),
        default="all",
        help="docker: change those with the docker feature alone (default: %(default)s)",
    )
    adoption.add_argument(
        "--write",
        action="store_true",
        help="change the file; what it was is kept beside it as FILE.bak-TIME",
    )
    adoption.set_defaults(command=_adopt)

    add_lint(commands)
    add_denials(commands)
    add_learn(commands)

    commands.add_parser(
        "lab",
        help="a Proxmox-like node in a virtual machine; see phoenix lab --help",
        add_help=False,
    )
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("phoenix-harden")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def _check(arguments: argparse.Namespace) -> int:
    fleet: Fleet | None = None
    problems: tuple[Problem, ...] = ()
    try:
        overlays = overlays_beside(arguments.file)
        fleet = parse_fleet(_read(arguments.file), known_templates(), overlays)
    except FleetError as error:
        problems = error.problems
    if arguments.json:
        print(json.dumps(_as_json(fleet, problems, arguments.verbose), indent=2))
    elif fleet is None:
        for problem in problems:
            _say(f"{arguments.file}: {problem}")
        _say(f"{arguments.file}: {_count(len(problems), 'problem')}, nothing was used")
    else:
        _show(fleet, arguments.verbose)
    return OK if fleet is not None else INVALID


def _show(fleet: Fleet, verbose: bool) -> None:
    width = max((len(container.name or "") for container in fleet.containers.values()), default=0)
    for container in fleet.containers.values():
        features = ",".join(f"{name}={value}" for name, value in container.features.items())
        words = ["docker"] * container.docker + ["nvidia"] * container.nvidia
        made = container.profile_when_made
        words += [f"(made as {made})"] * (container.is_described and made != container.profile)
        if container.overlay is not None:
            number = len(rules(container.overlay))
            words.append(f"({overlay_file(container.ctid)}: {_count(number, 'rule')})")
        line = f"{container.ctid:>5}  {container.name or '':{width}}  {container.profile:31}"
        print(f"{line}  {' '.join([*words, features])}".rstrip())
    warnings = [*fleet.warnings, *(w for c in fleet.containers.values() for w in c.warnings)]
    for warning in warnings:
        print(f"warning: {warning}")
    if verbose:
        for path in fleet.ignored:
            print(f"ignored: {path}")
    containers = _count(len(fleet.containers), "container")
    print(f"{containers}, {_count(len(warnings), 'warning')}, no problem")


def _as_json(fleet: Fleet | None, problems: Collection[Problem], verbose: bool) -> dict[str, Any]:
    containers = fleet.containers.values() if fleet is not None else ()
    answer: dict[str, Any] = {
        "containers": {str(container.ctid): _container_json(container) for container in containers},
        "errors": [{"path": p.path, "value": p.value, "hint": p.hint} for p in problems],
    }
    if verbose:
        answer["ignored"] = list(fleet.ignored) if fleet is not None else []
    return answer


def _container_json(container: Container) -> dict[str, Any]:
    overlay = container.overlay
    return {
        "name": container.name,
        "profile": container.profile,
        "features": dict(container.features),
        "raw": [raw.line for raw in container.raw],
        "mounts": [
            {"source": mount.source, "target": mount.target, "origin": mount.origin}
            | ({"owner": list(mount.owner)} if mount.owner else {})
            for mount in container.mounts
        ],
        "devices": list(container.devices),
        "docker": container.docker,
        **({"overlay": [*map(str, rules(overlay))]} if overlay is not None else {}),
        **({"made": _made_json(container)} if container.is_described else {}),
        "warnings": list(container.warnings),
    }


def _made_json(container: Container) -> dict[str, Any]:
    """What create makes it from and under which profile."""
    origin = container.making.template or container.making.clone_from
    return {"from": origin, "profile": container.profile_when_made}


def _schema(_: argparse.Namespace) -> int:
    print(schema_text(), end="")
    return OK


def _adopt(arguments: argparse.Namespace) -> int:
    file: Path = arguments.file
    templates = known_templates()
    profile = arguments.profile or DOCKER_PROFILE
    if templates is not None and profile not in templates:
        _say(f"warning: {profile}: no template of this name, harden will refuse it")
    try:
        change = adopt(
            _read(file),
            profile,
            arguments.only,
            templates,
            spared=arguments.spared,
            scope=arguments.scope,
            # who names both the container and the profile means it
            others=(arguments.only and arguments.profile) or GENERATED,
        )
    except FleetError as error:
        for problem in error.problems:
            _say(f"{file}: {problem}")
        return INVALID
    for note in change.notes:
        _say(f"note: {note}")
    print(change.diff(file.name), end="")
    if not change.changed:
        _say("nothing to change")
    elif not arguments.write:
        _say(f"{_count(len(change.changed), 'container')} would change; --write does it")
    else:
        return _write(file, change)
    return OK


def _write(file: Path, change: Adoption) -> int:
    """Keep the file's old content beside it, then put the new one in its place at once."""
    target = file.resolve()  # a symlink stays one
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    backup = target.with_name(f"{target.name}.bak-{stamp}")
    replacement = target.with_name(f".{target.name}.new-{stamp}")
    made: list[Path] = []
    try:
        like = target.stat()
        for path, data in ((backup, change.before), (replacement, change.after)):
            _new_file(path, data, like)
            made.append(path)
        if target.read_bytes() != change.before:
            _say(f"{file}: somebody changed it in the meantime; nothing was written, try again")
            return FAILED
        replacement.replace(target)
    except OSError as error:
        _say(f"{file}: not changed: {error.strerror or error}")
        return FAILED
    finally:
        # also after an interrupt: the backup goes only where the file was not replaced
        with contextlib.suppress(OSError):
            for path in made if target.read_bytes() != change.after else ():
                path.unlink()
    _say(f"{_count(len(change.changed), 'container')} changed; as it was: {backup}")
    return OK


def _new_file(path: Path, data: bytes, like: os.stat_result) -> None:
    """Write a file that must not be there yet, with another's owner and mode, to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            with contextlib.suppress(PermissionError):  # somebody else's file in our folder
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _lab(argv: list[str]) -> int:
    try:
        lab = importlib.import_module("lab.cli")
    except ModuleNotFoundError as error:
        if error.name not in ("lab", "lab.cli"):
            raise
        _say("the lab is not part of this installation: run from a checkout")
        return FAILED
    return int(lab.main(argv) or OK)


def known_templates() -> list[str] | None:
    """Name the profiles that can be rendered, or None where the templates are not installed."""
    try:
        return profile_names({file.name: "" for file in _TEMPLATES.iterdir()}) or None
    except OSError:
        return None


def _read(file: Path) -> bytes:
    """Read a fleet file, and a byte more than is allowed of one that is too large."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise FleetError([Problem("$", "", f"cannot be read: {reason}")]) from None


def _profile_name(text: str) -> str:
    if not PROFILE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"'{text}' is no profile's name: those begin with lxc-")
    return text


def _ctids(text: str) -> list[int]:
    try:
        return [ctid(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}, as in 910,953") from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _abandon(stream: TextIO | None) -> None:
    """Send what is still buffered nowhere, or Python complains about it when it exits."""
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
