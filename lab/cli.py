"""``phoenix lab up|reset|down|ssh|status``: a Proxmox-like node in a VM."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from lab.errors import LabError
from lab.vm import Lab

CHECKOUT = Path(__file__).resolve().parent.parent


def main(argv: list[str]) -> int:
    """Run one lab command; the exit code."""
    arguments = _parser().parse_args(argv)
    lab = Lab(CHECKOUT)
    try:
        return _run(lab, arguments)
    except LabError as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def _run(lab: Lab, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            lab.up()
        case "reset":
            lab.reset()
        case "down":
            lab.down(purge=arguments.purge)
        case "ssh":
            return subprocess.run(lab.target().command(arguments.remote)).returncode
        case "status":
            _print_status(lab, as_json=arguments.json)
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
    commands.add_parser("up", help="build what is missing and boot, or load the state 'clean'")
    commands.add_parser("reset", help="put the running node back into the state 'clean'")
    down = commands.add_parser("down", help="stop the VM; its saved state stays")
    down.add_argument("--purge", action="store_true", help="remove it and all built images too")
    ssh = commands.add_parser("ssh", help="a shell on the node, or 'ssh -- COMMAND'")
    ssh.add_argument("remote", nargs="*", metavar="COMMAND")
    status = commands.add_parser("status", help="whether it runs, and where SSH answers")
    status.add_argument("--json", action="store_true")
    return parser
