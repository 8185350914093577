"""What a run over a whole cluster costs, beside one over a part of it.

    .venv/bin/python bench/cluster.py [--nodes N...] [--containers N] [--rolling 1|nodes]

Nodes with scripted answers (those of the tests), each with so many containers to harden, in one
cluster: every node knows of all others' containers. Printed for each number of nodes: seconds of
wall time and of CPU, peak memory, how many commands the nodes were sent and how many of them at the
same time, the lines on the terminal; and the ratios to the first number. The nodes answer at once,
so that all of it is the time of the operator's own machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tests/deploys")]

from fake_node import CONF, FakeNode  # noqa: E402

#: Seconds for each answer: without any, nothing would happen at the same time.
_DELAY = 0.002

#: Counts the commands of all nodes; loaded by the inventory, so within pyinfra's own process.
_COUNTS = """
import atexit, json
from pyinfra.connectors.fake import FakeConnector as _Fake
_run, _seen = _Fake.run_shell_command, {"all": 0, "now": 0, "most": 0}
def _counted(self, *words, **more):
    _seen["all"] += 1
    _seen["now"] += 1
    _seen["most"] = max(_seen["most"], _seen["now"])
    try:
        return _run(self, *words, **more)
    finally:
        _seen["now"] -= 1
_Fake.run_shell_command = _counted
atexit.register(lambda: open(%r, "w").write(json.dumps(_seen)))
"""


@dataclass(frozen=True)
class Cost:
    """What one run took; `most`: so many commands at the same time."""

    wall: float
    cpu: float
    mib: float
    commands: int
    most: int
    lines: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 8, 32], metavar="N")
    parser.add_argument("--containers", type=int, default=100, metavar="N")
    parser.add_argument("--rolling", choices=["1", "nodes"], default="1")
    options = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {load}, rolling={options.rolling}")
    print("nodes x containers      wall      CPU   memory  commands  at once   lines")
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for nodes in options.nodes:
            cost = _measure(Path(folder), nodes, options.containers, options.rolling)
            costs.append(cost)
            print(
                f"{nodes:5} x {options.containers:<10} {cost.wall:7.1f} s {cost.cpu:6.1f} s "
                f"{cost.mib:4.0f} MiB {cost.commands:9,} {cost.most:8} {cost.lines:7,}",
                flush=True,
            )
    for nodes, cost in zip(options.nodes[1:], costs[1:], strict=True):
        pairs = zip(astuple(cost), astuple(costs[0]), strict=True)
        wall, cpu, memory, commands, _, lines = (one / first for one, first in pairs)
        print(
            f"{nodes} / {options.nodes[0]} nodes: wall {wall:.1f}, CPU {cpu:.1f}, "
            f"memory {memory:.1f}, commands {commands:.1f}, lines {lines:.1f}"
        )


def _measure(folder: Path, nodes: int, containers: int, rolling: str) -> Cost:
    inventory, fleet, seen = (folder / name for name in ("nodes.py", "fleet.json", "seen.json"))
    where = {
        1000 * node + n: f"pve{node}" for node in range(1, nodes + 1) for n in range(containers)
    }
    hosts = [_host(name, where) for name in dict.fromkeys(where.values())]
    inventory.write_text(f"{_COUNTS % str(seen)}\nnodes = {hosts!r}\n")
    docker = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
    fleet.write_text(json.dumps({"lxc_configs": {str(ctid): docker for ctid in where}}))
    given = [f"--data=fleet={fleet}", f"--data=rolling={rolling}"]
    return _run(["-y", str(inventory), "deploys/harden.py", *given], seen)


def _host(name: str, where: dict[int, str]) -> tuple[str, dict[str, object]]:
    confs = {ctid: CONF.format(name=f"ct{ctid}") for ctid, node in where.items() if node == name}
    elsewhere = {str(ctid): node for ctid, node in where.items() if node != name}
    done = {f"commit CT {ctid}": {"stdout": f"CT {ctid}: done"} for ctid in confs}
    return FakeNode(name, confs, elsewhere=elsewhere, responses=done, delay=_DELAY).host()


def _run(words: Sequence[str], seen: Path) -> Cost:
    begin = time.monotonic()
    process = subprocess.Popen(
        [str(ROOT / ".venv/bin/pyinfra"), *words],
        cwd=ROOT,
        env={**os.environ, "PYINFRA_PROGRESS": "off", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"pyinfra failed:\n{said[-2000:]}")
    counts = json.loads(seen.read_text())
    return Cost(
        wall=time.monotonic() - begin,
        cpu=used.ru_utime + used.ru_stime,
        mib=used.ru_maxrss / 1024,
        commands=counts["all"],
        most=counts["most"],
        lines=said.count("\n"),
    )


if __name__ == "__main__":
    main()
