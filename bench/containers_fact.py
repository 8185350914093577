"""What one wide fact costs beside one `pct config` per container, on the lab's node.

    .venv/bin/python bench/containers_fact.py

Gives the node 200 confs, times both in turns in one run, and prints seconds of shell time (best
of five) and their ratio. The lab is put back into its clean state before and after.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from facts.pct import Containers  # noqa: E402
from lab.vm import Lab  # noqa: E402

CONFS = 200
ROUNDS = 5


def main() -> None:
    """Measure and print."""
    lab = Lab(ROOT)
    lab.up()
    node = lab.reset()
    have = int(node.run("ls /etc/pve/lxc | wc -l").stdout)
    last = 2000 + CONFS - have - 1
    node.run(f"for n in $(seq 2000 {last}); do cp /etc/pve/lxc/910.conf /etc/pve/lxc/$n.conf; done")

    def seconds(command: str) -> float:
        shell = f"TIMEFORMAT=%R; time sh -c {shlex.quote(command)} >/dev/null 2>&1"
        return float(node.run(f"bash -c {shlex.quote(shell)}").stderr.split()[-1])

    fact, config = [], []
    for _ in range(ROUNDS):
        fact.append(seconds(Containers().command().get_raw_value()))
        config.append(seconds("pct config 910"))
    lab.reset()
    each = min(config) * CONFS / min(fact)
    print(f"the fact Containers, {CONFS} confs, 5 of them running   {min(fact):.2f} s")
    print(f"pct config, one container                      {min(config):.2f} s")
    print(f"pct config for each of them                    {each:.0f} times the fact")
    print("(the lab's pct is a stand-in; the real one takes 0.6 s of processor time for each call)")


if __name__ == "__main__":
    main()
