"""`phoenix denials`: what AppArmor denied on all nodes, once or as it happens."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from phoenix.apparmor.denials import ObservedDenials, denials_from_json
from phoenix.cli.follow import follow
from phoenix.cli.nodes import Node, NodeError, nodes
from phoenix.cli.since import since
from phoenix.fleet.values import ctid
from phoenix.plan.node import place_elsewhere
from phoenix.plan.options import Options
from phoenix.plan.questions import asked_by_denials
from phoenix.pve.observed import ObservedPct, containers_from_json
from phoenix.report.denial_data import node_data
from phoenix.report.denial_groups import DenialGroup, group_denials
from phoenix.report.denial_lines import denial_lines
from phoenix.text.printable import printable

OK, FAILED = 0, 1


@dataclass(frozen=True)
class _Answer:
    """What one node said."""

    pct: ObservedPct
    seen: ObservedDenials
    groups: Sequence[DenialGroup]


def add_denials(commands: Any) -> None:
    """Add the subcommand to those of an argparse parser."""
    command = commands.add_parser(
        "denials",
        help="show what AppArmor denied to containers, also as it happens",
        description="Show what AppArmor denied to containers, on which node, to which container "
        "and to which Docker container in it, and what to do about each. Changes nothing.",
        epilog="exit status: 0 done, 1 a node could not be asked, or no node has a container of "
        "that id, 2 the command line is wrong, 130 after Ctrl-C, with which --follow ends in a "
        "summary",
        allow_abbrev=False,
    )
    command.add_argument(
        "ctids", metavar="CTID", nargs="*", type=_ctid, help="these containers alone"
    )
    command.add_argument(
        "--since",
        metavar="TIME",
        type=since,
        help="from then on: 45m, 2h, 3d, 1w, or a time like 2026-11-22T14:30 (default: from each "
        "container's start on; with --follow: from now on)",
    )
    command.add_argument(
        "--node",
        metavar="USER@NODE",
        dest="named",
        action="append",
        default=[],
        help="ask this node, as for ssh; may be given more than once (default: those of "
        "PHOENIX_NODES or PHOENIX_CLUSTER, else this machine if it is a node, else the lab)",
    )
    command.add_argument(
        "--json", action="store_true", help="JSON, with --follow one object a line"
    )
    command.add_argument(
        "-f", "--follow", action="store_true", help="go on, and tell each new kind as it happens"
    )
    command.set_defaults(command=_denials)


def _ctid(text: str) -> int:
    try:
        return ctid(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{printable(text)}: {error}, as in 910") from None


def _denials(arguments: argparse.Namespace) -> int:
    try:
        choice = nodes(arguments.named)
    except NodeError as error:
        _say(str(error))
        return FAILED
    for name in choice.offline:
        _say(f"{name}: offline, left out")
    only = tuple(dict.fromkeys(arguments.ctids))
    if arguments.follow:
        asked_for = arguments.since
        begin = time.time() + asked_for if asked_for is not None and asked_for < 0 else asked_for
        return follow(choice.nodes, only, begin, as_json=arguments.json)
    # as the recipes have them; what they read of texts is read already
    options = Options.model_construct(only=only, since=arguments.since)
    return _once(choice.nodes, options, arguments.json)


def _once(asked: Sequence[Node], options: Options, as_json: bool) -> int:
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = [*pool.map(lambda node: _ask(node, options), asked)]
    found = [one for one in answers if isinstance(one, _Answer)]
    problems = [one for one in answers if isinstance(one, str)]
    if not problems:
        problems += _absent(options.only, [one.pct for one in found])
    for problem in problems:
        _say(problem)
    if as_json:
        told = [node_data(one.pct.node, one.seen, one.groups) for one in found]
        print(json.dumps({"nodes": told, "problems": problems}, indent=2))
    else:
        for one in found:
            for line in denial_lines(one.pct.node, one.seen, one.groups, options):
                print(line)
    return FAILED if problems else OK


def _absent(ctids: Sequence[int], nodes: Sequence[ObservedPct]) -> Iterator[str]:
    """Containers that none of the nodes has."""
    names = ", ".join(node.node for node in nodes)
    for one in ctids:
        if any(one in node.containers for node in nodes):
            continue
        if place := place_elsewhere(one, nodes):
            yield f"CT {one}: it is on {place}: name that with --node"
        else:
            yield f"CT {one}: not on {names}: name its node with --node"


def _ask(node: Node, options: Options) -> _Answer | str:
    """What a node says, or why it could not be asked."""
    try:
        answer = node.ask(asked_by_denials(options))
        pct = containers_from_json(answer["containers"])
        seen = denials_from_json(answer["denials"])
        return _Answer(pct, seen, group_denials(seen, pct.containers, options))
    except NodeError as error:
        return str(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{node.name}: its answer is not understood: {type(error).__name__} {error}"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
