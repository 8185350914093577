"""What a dry run and an audit cost, beside the same recipes of another checkout.

    .venv/bin/python bench/recipes.py [--beside CHECKOUT] [--containers N...] [--rounds N]

On the lab's node, with its running guests and then with all of them stopped; for each N of
`--containers` with so many stopped containers more, which the fleet file names. Both checkouts take
turns in one run (A B A B); printed are the medians in seconds of wall time, the commands that the
node was sent, and the ratio. CHECKOUT needs its own `.venv` (make .venv/done). The lab is put back
into its clean state before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lab.ssh import SshTarget  # noqa: E402
from lab.vm import Lab  # noqa: E402

RECIPES = {"dry run": ("deploys/harden.py", "--dry"), "audit": ("deploys/audit.py", "-y")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("--containers", type=int, nargs="+", default=[0], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    checkouts = {"this": ROOT}
    if options.beside:
        checkouts["other"] = options.beside.resolve()
    lab = Lab(ROOT)
    lab.up()
    with tempfile.TemporaryDirectory() as folder:
        for more in options.containers:
            node = lab.reset()
            inventory, fleet = Path(folder, "inventory.py"), Path(folder, "fleet.json")
            inventory.write_text(f"nodes = {[_host(node)]!r}\n")
            fleet.write_text(json.dumps(_fleet(node, more)))
            running = node.run("lxc-ls --running -1").stdout.split()
            for guests in (running, []):
                load = f"load {os.getloadavg()[0]:.1f}"
                print(f"{platform.machine()}, {os.cpu_count()} cores, {load}")
                print(f"{more} containers more, {len(guests)} guests run", flush=True)
                _measure(checkouts, [str(inventory), str(fleet)], options.rounds)
                node.run(f"for n in {' '.join(guests)}; do lxc-stop -k -n $n; done")
    lab.reset()


def _measure(checkouts: Mapping[str, Path], given: list[str], rounds: int) -> None:
    """Have the checkouts take turns, and print what each recipe took."""
    for name, recipe in RECIPES.items():
        times: dict[str, list[float]] = {which: [] for which in checkouts}
        sent = {}
        for _ in range(rounds):
            for which, checkout in checkouts.items():
                begin = time.monotonic()
                sent[which] = _run(checkout, *given, recipe, "-vvv").count(">>> ")
                times[which].append(time.monotonic() - begin)
        medians = {which: statistics.median(seconds) for which, seconds in times.items()}
        for which, seconds in medians.items():
            print(f"{name:8} {which:6} {seconds:6.1f} s  {sent[which]} commands")
        if "other" in medians:
            print(f"{name:8} other / this: {medians['other'] / medians['this']:.2f}", flush=True)


def _run(checkout: Path, inventory: str, fleet: str, recipe: tuple[str, str], *flags: str) -> str:
    deploy, how = recipe
    done = subprocess.run(
        [".venv/bin/pyinfra", how, *flags, inventory, deploy, f"--data=fleet={fleet}"],
        cwd=checkout,
        env={**os.environ, "PYINFRA_PROGRESS": "off", "PYTHONPATH": str(checkout)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {deploy} failed:\n{done.stderr[-2000:]}")
    return done.stderr


def _host(node: SshTarget) -> tuple[str, dict[str, object]]:
    data = {
        "ssh_hostname": node.host,
        "ssh_port": node.port,
        "ssh_user": node.user,
        "ssh_key": str(node.key),
        "ssh_known_hosts_file": str(node.known_hosts),
    }
    return "pve-lab", data


def _fleet(node: SshTarget, more: int) -> dict[str, object]:
    """The lab's own fleet and so many stopped containers, which are made here."""
    fleet = json.loads((ROOT / "phoenix_lxc_configs.json").read_text())
    numbers = range(2000, 2000 + more)
    for number in numbers:
        fleet["lxc_configs"][str(number)] = {"apparmor_profile": "generated"}
    if more:
        names = f"$(seq -f /etc/pve/lxc/%g.conf {numbers[0]} {numbers[-1]})"
        node.run(f"tee {names} </etc/pve/lxc/953.conf >/dev/null")
    return dict(fleet)


if __name__ == "__main__":
    main()
