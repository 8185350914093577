"""`phoenix lint`: read profile files, ask this machine's parser, print what was found."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phoenix.apparmor.lint import Finding, lint
from phoenix.apparmor.observed import PROFILE_NAME, ObservedAppArmor
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import ProfileError, profile_names, render_profile

CLEAN, FINDINGS, INVALID = 0, 1, 2
_BASE = Path("/etc/apparmor.d")
_TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "apparmor"
# real profiles have a few KiB; compiling takes about a second
_MAX_BYTES = 1 << 20
_PATIENCE = 120


@dataclass(frozen=True)
class _Machine:
    """What profiles are linted with: the parser (None: missing), its version, and its abis."""

    parser: str | None
    base: Path
    node: ObservedAppArmor


class _UnusableError(Exception):
    """A file that cannot be linted at all; says why."""


class _SharedTextError(Exception):
    """A template that is no profile: part of others, and linted with them."""


def add_lint(commands: Any) -> None:
    """Add the subcommand to those of an argparse parser."""
    command = commands.add_parser(
        "lint",
        help="find what is wrong with AppArmor profiles for containers",
        description="Find what is wrong with AppArmor profiles for containers, with this "
        "machine's apparmor_parser (nothing is loaded; no root, no AppArmor in the kernel "
        "needed). A template (lxc-….j2) is rendered for this machine first; its line numbers "
        "are those of the rendered text. Files in lxc/ are read as lxc-containers does.",
        epilog="exit status: 0 clean, 1 findings, 2 a file does not parse or cannot be read, or "
        "there is no parser",
        allow_abbrev=False,
    )
    command.add_argument("files", metavar="FILE", nargs="+", help="a profile; - for stdin")
    command.add_argument(
        "--name",
        metavar="NAME",
        help="the name that the containers use (default: the file's, if it begins with lxc-)",
    )
    command.add_argument(
        "--base",
        metavar="DIR",
        type=Path,
        default=_BASE,
        help="where includes and abis are looked up, such as a copy of a node's "
        "/etc/apparmor.d (default: %(default)s)",
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(command=_lint)


def _lint(arguments: argparse.Namespace) -> int:
    machine = _machine(arguments.base)
    found: list[tuple[str, Finding]] = []
    errors: list[dict[str, str]] = []
    if machine.parser is None:
        message = "apparmor_parser is missing, so nothing tells whether this parses: "
        errors.append({"file": "", "message": f"{message}apt install apparmor"})
    for file in arguments.files:
        try:
            found += ((file, finding) for finding in _lint_file(file, arguments.name, machine))
        except _SharedTextError as note:
            print(f"{_shown(file)}: skipped: {note}", file=sys.stderr)
        except _UnusableError as error:
            errors.append({"file": file, "message": str(error)})
    if arguments.json:
        findings = [{"file": file} | asdict(finding) for file, finding in found]
        print(json.dumps({"findings": findings, "errors": errors}, indent=2))
    else:
        for file, finding in found:
            rendered = " (rendered)" if file.endswith(".j2") else ""
            print(f"{_shown(file)}{rendered}:{_plain(str(finding))}")
        for unusable in errors:
            where = f"{_shown(unusable['file'])}: " if unusable["file"] else ""
            print(f"{where}{_plain(unusable['message'])}", file=sys.stderr)
    if errors or not all(finding.parses for _, finding in found):
        return INVALID
    return FINDINGS if found else CLEAN


def _lint_file(file: str, name: str | None, machine: _Machine) -> tuple[Finding, ...]:
    path = Path("/dev/stdin" if file == "-" else file)
    data = _read(path)
    if path.suffix == ".j2":
        name = name or path.stem
        data = _rendered(path, machine.node).encode("utf-8", "surrogateescape")
    # /etc/apparmor.d/lxc-containers: include <tunables/global>, include <lxc>
    by_itself = path.absolute().parent.name != "lxc"
    if name is None and by_itself and PROFILE_NAME.fullmatch(path.name):
        name = path.name
    with tempfile.TemporaryDirectory(prefix="phoenix-lint-") as folder:
        copy = Path(folder) / "profile"
        copy.write_bytes(data)
        message = _ask_parser(machine, copy, by_itself)
        return lint(
            data.decode("utf-8", "surrogateescape"),
            expected=name,
            abis=machine.node.abis,
            parser_message=message,
            parser_file=str(copy),
            by_itself=by_itself,
        )


def _ask_parser(machine: _Machine, profile: Path, by_itself: bool) -> str | None:
    """Compile without loading: None without a parser, "" if it parses, else what it says."""
    if machine.parser is None:
        return None
    if not by_itself:
        wrapper = profile.with_name("lxc-containers")
        wrapper.write_text(f'include <tunables/global>\ninclude "{profile}"\n', "utf-8")
        profile = wrapper
    command = [machine.parser, "--base", str(machine.base), "-Q", "-K", "-T", str(profile)]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return f"apparmor_parser did not finish within {_PATIENCE} seconds"
    except OSError as error:
        raise _UnusableError(f"{machine.parser}: {error.strerror or error}") from None
    said = (answer.stderr + answer.stdout).decode("utf-8", "replace")
    return "" if answer.returncode == 0 else said or f"exit status {answer.returncode}"


def _machine(base: Path) -> _Machine:
    parser = find_parser()
    version = ""
    if parser is not None:
        with contextlib.suppress(OSError):  # said when it is run on a file
            version = subprocess.run([parser, "--version"], capture_output=True, text=True).stdout
    numbers = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", version)
    try:
        abis = tuple(path.name for path in (base / "abi").iterdir())
    except OSError:
        abis = ()
    return _Machine(
        parser,
        base.absolute(),
        ObservedAppArmor(
            parser=tuple(int(number or 0) for number in numbers.groups()) if numbers else None,
            abis=abis,
        ),
    )


def find_parser() -> str | None:
    """Find `apparmor_parser`, also where the PATH of an ordinary user does not look."""
    return shutil.which("apparmor_parser", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")


def _rendered(template: Path, node: ObservedAppArmor) -> str:
    """Render a template beside which others may stand; base.j2 may be the product's own."""
    try:
        sources = {
            file.name: file.read_text("utf-8-sig")
            for folder in (_TEMPLATES, template.absolute().parent)
            if folder.is_dir()
            for file in folder.glob("*.j2")
        }
        if template.stem not in profile_names(sources):
            raise _SharedTextError("no profile, those are called lxc-….j2: lint what uses it")
        return render_profile(Confinement(template.stem), sources, node)
    except (OSError, UnicodeError, ProfileError) as error:
        raise _UnusableError(str(error)) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise _UnusableError(f"cannot be read: {reason}") from None
    if len(data) > _MAX_BYTES:
        raise _UnusableError("larger than 1 MiB: no profile")
    if b"\0" in data:
        raise _UnusableError("contains a NUL byte; not a text file")
    return data


def _shown(file: str) -> str:
    return "<stdin>" if file == "-" else _plain(file)


def _plain(text: str) -> str:
    """One line for a terminal, whatever a file or its name holds."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
