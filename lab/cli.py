"""``phoenix lab up|reset|zfs|down|ssh|status``: a Proxmox-like node in a VM."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

from lab import cache, emulator, tools
from lab.cluster import Cluster
from lab.errors import LabError
from lab.progress import call_it, say
from lab.recipe import DEFAULT, STACKS, VARIABLE
from lab.vm import Lab

CHECKOUT = Path(__file__).resolve().parent.parent


def main(argv: list[str]) -> int:
    """Run one lab command; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "down":
            return _down(arguments.stack, everything=arguments.purge)
        if arguments.command == "tools":
            tools.ensure(tests=True)
            return 0
        stack = arguments.stack or _running(arguments.command)
        lab = Lab(CHECKOUT, stack, getattr(arguments, "node", 1))
        call_it(f"lab {lab.stack.name}")
        return _run(lab, arguments)
    except LabError as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _run(lab: Lab, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up" if arguments.nodes == 2:
            Cluster(CHECKOUT, lab.stack.name).up()
        case "up":
            lab.up()
        case "reset" if lab.instance.joined.exists():
            Cluster(CHECKOUT, lab.stack.name).reset()
        case "reset":
            lab.reset()
        case "zfs":
            lab.zfs()
        case "ssh":
            return subprocess.run(lab.target().command(arguments.remote)).returncode
        case "status":
            _print_status(lab, as_json=arguments.json)
    return 0


def _running(command: str) -> str | None:
    """What commands are about that name no stack, `up` aside: the first that runs."""
    if command == "up" or os.environ.get(VARIABLE):
        return None
    running = (name for name in STACKS if Lab(CHECKOUT, name).instance.target())
    return next(running, None)


def _down(stack: str | None, *, everything: bool) -> int:
    for name in [stack] if stack else STACKS:
        for number in (2, 1):
            Lab(CHECKOUT, name, number).down(purge=everything)
    if everything and not stack:
        cache.purge(emulator.NAME)
    return 0


def _print_status(lab: Lab, *, as_json: bool) -> None:
    status = lab.instance.status()
    if as_json:
        print(json.dumps(status))
    elif status["running"]:
        target = lab.target()
        print(f"running ({status['accel']}): {target.user}@{target.host} port {target.port}")
    else:
        print("not running: 'phoenix lab up' starts it")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="phoenix lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, default: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.add_argument("--stack", choices=STACKS, help=f"which one; {default}")
        return command

    default = f"default: ${VARIABLE}, else {DEFAULT}"
    running = f"default: ${VARIABLE}, else the first that runs"
    up = add("up", "build what is missing and boot, or load the state 'clean'", default)
    nodes = "2: a second node, with which it is a cluster; it stays until 'down'"
    up.add_argument("--nodes", type=int, choices=(1, 2), default=1, help=nodes)
    add("reset", "put the running node back into the state 'clean'", running)
    add("zfs", "put ZFS and CT 959 on it into the running node, until its next reset", running)
    commands.add_parser("tools", help="install what building and testing takes")
    down = add("down", "stop the VMs; their saved states stay", "default: all")
    down.add_argument("--purge", action="store_true", help="remove them and all built images too")
    ssh = add("ssh", "a shell on the node, or 'ssh -- COMMAND'", running)
    ssh.add_argument("--node", type=int, choices=(1, 2), default=1, help="which one of two")
    ssh.add_argument("remote", nargs="*", metavar="COMMAND")
    status = add("status", "whether it runs, and where SSH answers", running)
    status.add_argument("--json", action="store_true")
    return parser
