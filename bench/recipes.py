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
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from lab_node import ROOT, Lab, add_containers, inventory, machine, recipe

RECIPES = {"dry run": ("harden", "--dry"), "audit": ("audit", "-y")}


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
            nodes, fleet = Path(folder, "inventory.py"), Path(folder, "fleet.json")
            nodes.write_text(inventory(node))
            fleet.write_text(json.dumps(add_containers(node, more)))
            running = node.run("lxc-ls --running -1").stdout.split()
            for guests in (running, []):
                print(machine())
                print(f"{more} containers more, {len(guests)} guests run", flush=True)
                _measure(checkouts, nodes, fleet, options.rounds)
                node.run(f"for n in {' '.join(guests)}; do lxc-stop -k -n $n; done")
    lab.reset()


def _measure(checkouts: Mapping[str, Path], nodes: Path, fleet: Path, rounds: int) -> None:
    """Have the checkouts take turns, and print what each recipe took."""
    for name, (deploy, how) in RECIPES.items():
        times: dict[str, list[float]] = {which: [] for which in checkouts}
        sent = {}
        for _ in range(rounds):
            for which, checkout in checkouts.items():
                begin = time.monotonic()
                said = recipe(checkout, nodes, deploy, (how, "-vvv"), {"fleet": fleet})
                sent[which] = said.count(">>> ")
                times[which].append(time.monotonic() - begin)
        medians = {which: statistics.median(seconds) for which, seconds in times.items()}
        for which, seconds in medians.items():
            print(f"{name:8} {which:6} {seconds:6.1f} s  {sent[which]} commands")
        if "other" in medians:
            print(f"{name:8} other / this: {medians['other'] / medians['this']:.2f}", flush=True)


if __name__ == "__main__":
    main()
