"""`phoenix harden` and the other recipes: pyinfra, run as in a checkout from wherever one is.

pyinfra takes this process over, so its exit code, what it writes and Ctrl-C are its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from phoenix.cli.nodes import CLUSTER, HERE, NODES, NodeError, named
from phoenix.plan.options import KEYS, PATHS, Options, Recipe, foreign_key
from phoenix.text.printable import printable

#: What changes nothing.
_LOOKS = ("doctor", "audit")

#: Where deploys/ and the rest lie: a checkout, or the folder that a wheel installs.
ROOT = Path(__file__).resolve().parents[2]

_FLEET = Options().fleet

_ABOUT: Mapping[Recipe, tuple[str, str]] = {
    "doctor": (
        "take a first look: what can be hardened, what not and why",
        "Take a first look at nodes: what can be hardened there, what not and why, and what to "
        "type next. Changes nothing and needs no fleet file; --data write=FILE writes one.",
    ),
    "harden": (
        "bring the containers under their profiles, one at a time",
        "Bring every container of the fleet file under its AppArmor profile, one at a time: "
        "changed, restarted, proven, or put back.",
    ),
    "audit": (
        "show what is confined and what is not",
        "Show what is confined, what was denied and what drifted. Changes nothing.",
    ),
    "create": (
        "make what the fleet file describes and no node has",
        "Make the containers that the fleet file describes and no node has, confined from their "
        "first start.",
    ),
    "rollback": (
        "roll back a run of harden, create or host-prep",
        "Roll back a run: the last one, or that of --data run=ID; --data list=true shows them.",
    ),
    "host_prep": (
        "the part of harden that touches no container",
        "Prepare the nodes: tunables, profiles, and with --data watch=true the watch. Touches no "
        "container.",
    ),
}


def add_recipes(commands: Any) -> None:
    """Add the subcommands to those of an argparse parser."""
    for recipe, (help_text, description) in _ABOUT.items():
        _add(commands, recipe, help_text, description)


def _add(commands: Any, recipe: Recipe, help_text: str, description: str) -> None:
    command = commands.add_parser(
        recipe.replace("_", "-"),
        help=help_text,
        description=description,
        epilog=f"Keys of --data: {', '.join(KEYS[recipe])}. Exit status: 0 done or nothing to do, "
        "1 something failed, was refused or left alone, 2 the command line is wrong.",
        allow_abbrev=False,
    )
    command.add_argument(
        "nodes",
        metavar="NODE",
        nargs="*",
        type=_node,
        help=f"a node as for ssh, root@pve1, or {HERE} for this machine (default: those of {NODES} "
        f"or {CLUSTER}, else this machine if it is a node)",
    )
    command.add_argument(
        "--cluster",
        metavar="USER@NODE",
        type=_login,
        help="all members of this node's cluster instead",
    )
    if "fleet" in KEYS[recipe]:
        default = "none" if recipe == "doctor" else f"{_FLEET} in this folder"
        command.add_argument("--fleet", metavar="FILE", help=f"the fleet file (default: {default})")
    command.add_argument(
        "--only", metavar="CTID,…", help="these containers and no others, as in 910,953"
    )
    command.add_argument(
        "--data",
        metavar="KEY=VALUE",
        action="append",
        type=_pair,
        default=[],
        help="may be given more than once; a relative path is one from this folder on",
    )
    command.add_argument("--dry", action="store_true", help="show what would be done")
    command.add_argument(
        "-y", "--yes", action="store_true", help="do not ask before anything is changed"
    )
    command.add_argument("--json", action="store_true", help="pyinfra's JSON on stdout")
    command.add_argument(
        "-v", dest="verbose", action="count", default=0, help="tell more; up to -vvv"
    )
    command.set_defaults(command=lambda given: _run(recipe, given, command))


def _run(recipe: Recipe, given: argparse.Namespace, command: argparse.ArgumentParser) -> NoReturn:
    environment = _environment(given, command)
    data = [f"--data={key}={value}" for key, value in _data(recipe, given, command).items()]
    flags = [f"-{'v' * given.verbose}"] if given.verbose else []
    flags += [f"--{one}" for one in ("dry", "json") if getattr(given, one)]
    # what changes nothing has nothing to ask
    flags += ["--yes"] if given.yes or recipe in _LOOKS else []
    words = [*flags, "inventory.py", f"deploys/{recipe}.py", *data]
    # recipes are found in the working folder, and nothing that lies in the operator's is run
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "pyinfra", *words], environment)  # noqa: S606


def _environment(given: argparse.Namespace, command: argparse.ArgumentParser) -> Mapping[str, str]:
    """What inventory.py reads its nodes from, and nothing by which pyinfra finds other modules."""
    if given.nodes and given.cluster:
        command.error("argument --cluster: not allowed with NODE")
    left_out = {"PYTHONSAFEPATH", "VIRTUAL_ENV"}
    chosen: dict[str, str] = {}
    if given.nodes or given.cluster:
        left_out |= {NODES, CLUSTER}
        chosen = {CLUSTER: given.cluster} if given.cluster else {NODES: ",".join(given.nodes)}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, **chosen}


def _data(
    recipe: Recipe, given: argparse.Namespace, command: argparse.ArgumentParser
) -> Mapping[str, str]:
    """The data keys for pyinfra, with whole paths."""
    apart = [(key, getattr(given, key, None)) for key in ("fleet", "only")]
    pairs = [*(one for one in apart if one[1] is not None), *given.data]
    data: dict[str, str] = dict(pairs)
    if len(data) < len(pairs):
        twice = next(key for key in data if [one for one, _ in pairs].count(key) > 1)
        command.error(f"{twice} is given twice")
    for key in data:
        if key not in KEYS[recipe]:
            command.error(foreign_key(printable(key), recipe))
    if "fleet" in KEYS[recipe] and recipe != "doctor":
        data.setdefault("fleet", _FLEET)
    if "fleet" in data:
        file = Path(data["fleet"])
        try:
            file.stat()
        except FileNotFoundError:
            where = f"no {_FLEET} in this folder" if str(file) == _FLEET else f"no file {file}"
            command.error(f"{printable(where)}: name the fleet file with --fleet FILE")
        except OSError as error:
            command.error(f"cannot read the fleet file {printable(str(file))}: {error.strerror}")
    return {
        # an empty path is refused by the recipe
        key: str(Path(value).absolute()) if value and key in PATHS else value
        for key, value in data.items()
    }


def _node(text: str) -> str:
    return text if text == HERE else _login(text)


def _login(text: str) -> str:
    try:
        named(text)
    except NodeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{printable(text)}: write KEY=VALUE")
    return key, value
