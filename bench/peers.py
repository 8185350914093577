"""What a dry run costs beside Ansible and the shell way, and a run beside the bare restarts.

    .venv/bin/python bench/peers.py [--containers N...] [--rounds N] [--slow-up-to N] [--changed N]

On the lab's node, all in one run. First `harden` of running Docker containers, beside their bare
restarts: `pct shutdown`, `pct start`, until dockerd answers. Then, all containers hardened and N of
them there: are they as they should be? `harden --dry`, a playbook and a script of `pct` find out,
with the lab's Docker guests running and with none. The ways take turns (A B A B); beyond 10
containers the slow ones have one, beyond `--slow-up-to` none. The medians go into bench/peers.txt
and docs/bench.svg. The lab is put back into its clean state before and after.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lab_node import ROOT, Lab, SshTarget, add_containers, inventory, recipe
from meter import Cost, Meter, median
from results import Results, Row
from ways import Ansible, Nodes, ours, shell

#: The saved state in which all containers are hardened.
HARDENED = "bench-hardened"
#: Seconds for which a node that is asked nothing is watched.
IDLE = 10

_RESTARTS = """\
for ctid in {ctids}; do
    pct shutdown $ctid --timeout 60 && pct start $ctid || exit 1
    until lxc-attach -n $ctid -- docker info >/dev/null 2>&1; do sleep 0.2; done
done"""
_VERSIONS = "echo kernel $(uname -r), LXC $(lxc-info --version)"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--containers", type=int, nargs="+", default=[10, 100, 1000], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--slow-up-to", type=int, default=100, metavar="N", help="containers")
    parser.add_argument("--changed", type=int, default=4, metavar="N", help="Docker containers")
    parser.add_argument("--table", type=Path, default=ROOT / "bench/peers.txt")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs/bench.svg")
    options = parser.parse_args()
    ansible, lab = Ansible(), Lab(ROOT)
    lab.up()
    with tempfile.TemporaryDirectory() as folder:
        node = lab.reset()
        versions = f"lab {lab.stack.name} ({lab.instance.status()['accel']}), " + ", ".join(
            [node.run(_VERSIONS).stdout.strip(), ansible.version()]
        )
        results = Results(options.table, options.plot, versions)
        _apply(lab, Path(folder), options.changed, options.rounds, results)
        lab.save(HARDENED)
        try:
            for containers in options.containers:
                node = lab.load(HARDENED)
                nodes = _nodes(node, Path(folder), containers)
                for stop in (False, True):
                    if stop:
                        node.run("for n in $(lxc-ls --running -1); do lxc-stop -k -n $n; done")
                    _check(nodes, ansible, options.rounds, options.slow_up_to, results)
        finally:
            lab.reset()
            lab.forget(HARDENED)


def _apply(lab: Lab, folder: Path, number: int, rounds: int, results: Results) -> None:
    """Change so many running Docker containers, beside their restarts; then all the others."""
    node = lab.reset()
    nodes = _nodes(node, folder, 0)
    wanted = nodes.wanted()
    docker = [ctid for ctid, one in wanted.items() if one.docker][:number]
    only = {"fleet": nodes.fleet, "only": ",".join(map(str, docker))}
    restarts = _RESTARTS.format(ctids=" ".join(map(str, docker)))
    ways: dict[str, Callable[[SshTarget], object]] = {
        "ours": lambda _: recipe(ROOT, nodes.inventory, "harden", ["-y"], only),
        "restarts": lambda node: node.run(restarts, timeout=1800),
    }
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(rounds):
        # ours last: its result is gone on with
        for way in reversed(ways):
            node = lab.reset()
            costs[way].append(Meter(node).cost(partial(ways[way], node)))
    results.add(
        [
            Row("apply", len(docker), len(docker), way, len(costs[way]), median(costs[way]))
            for way in ways
        ]
    )
    recipe(ROOT, nodes.inventory, "harden", ["-y"], {"fleet": nodes.fleet})


def _check(nodes: Nodes, ansible: Ansible, rounds: int, slow_up_to: int, results: Results) -> None:
    """All ways to see that the fleet is compliant, in turns."""
    meter, wanted = Meter(nodes.node), nodes.wanted()
    number = len(wanted)
    slow = 0 if number > slow_up_to else rounds if number <= 10 else 1
    ways: Mapping[str, tuple[int, Callable[[], object]]] = {
        "ours": (rounds, partial(ours, nodes)),
        "Ansible": (slow, partial(ansible.check, nodes, wanted)),
        "shell": (slow, partial(shell, nodes, wanted)),
        "idle": (1, partial(time.sleep, IDLE)),
    }
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way, (turns, work) in ways.items():
            if turn < turns:
                costs[way].append(meter.cost(work))
    guests = sum(one.docker for one in wanted.values())
    results.add(
        [
            Row("check", number, guests, way, len(done), median(done) if done else None)
            for way, done in costs.items()
        ]
    )


def _nodes(node: SshTarget, folder: Path, containers: int) -> Nodes:
    """The node with so many containers, or those that it has, if these are more."""
    there = len(node.run("ls /etc/pve/lxc/*.conf").stdout.split())
    nodes = Nodes(node, folder / "inventory.py", folder / "fleet.json")
    nodes.inventory.write_text(inventory(node))
    nodes.fleet.write_text(json.dumps(add_containers(node, max(containers - there, 0))))
    return nodes


if __name__ == "__main__":
    main()
