"""The lab's node as benchmarks use it: its inventory, fleets of any size, recipes run on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lab.ssh import SshTarget  # noqa: E402
from lab.vm import Lab  # noqa: E402

__all__ = ["ROOT", "Lab", "SshTarget", "add_containers", "inventory", "machine", "recipe"]


def machine() -> str:
    """What the operator's machine is, and how busy it has been in the last minute."""
    return f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def inventory(node: SshTarget) -> str:
    """The text of an inventory.py with the node alone."""
    data = {
        "ssh_hostname": node.host,
        "ssh_port": node.port,
        "ssh_user": node.user,
        "ssh_key": str(node.key),
        "ssh_known_hosts_file": str(node.known_hosts),
    }
    return f"nodes = {[('pve-lab', data)]!r}\n"


def add_containers(node: SshTarget, more: int) -> dict[str, object]:
    """Make so many stopped containers like CT 953; the lab's own fleet file with them in it."""
    fleet = json.loads((ROOT / "phoenix_lxc_configs.json").read_text())
    numbers = range(2000, 2000 + more)
    for number in numbers:
        fleet["lxc_configs"][str(number)] = {"apparmor_profile": "generated"}
    if more:
        names = f"$(seq -f /etc/pve/lxc/%g.conf {numbers[0]} {numbers[-1]})"
        node.run(f"tee {names} </etc/pve/lxc/953.conf >/dev/null")
    return dict(fleet)


def recipe(
    checkout: Path, inventory: Path, deploy: str, flags: Sequence[str], data: Mapping[str, object]
) -> str:
    """Run a recipe of a checkout with its own .venv; what it told people. Ends where it fails."""
    words = [f"--data={key}={value}" for key, value in data.items()]
    done = subprocess.run(
        [".venv/bin/pyinfra", *flags, str(inventory), f"deploys/{deploy}.py", *words],
        cwd=checkout,
        env={**os.environ, "PYINFRA_PROGRESS": "off", "PYTHONPATH": str(checkout)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {deploy} failed:\n{done.stdout}{done.stderr[-4000:]}")
    return done.stdout + done.stderr
