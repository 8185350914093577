"""What the node's own program costs in a dry run, beside that of another checkout, without a node.

    .venv/bin/python bench/observe.py [--beside CHECKOUT] [--containers N...] [--rounds N]

A folder stands for the node; it has N stopped containers, which the fleet file names. The program
is sent what `harden` asks and runs in this machine's own Python. Printed are the medians of
processor time, of the program and of what it starts, in milliseconds, both checkouts in turns
(A B A B); how many programs it starts; where there is valgrind, the instructions that the program
takes by itself, in millions: on an emulated processor it is them that count. With `--imports`, what
each of its modules took to be loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CONF = """\
arch: amd64
cores: 2
features: nesting=1,keyctl=1
hostname: ct{ctid}
memory: 1024
mp0: /srv/{ctid},mp=/data
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:{high:02X}:{low:02X},ip=dhcp,type=veth
ostype: debian
rootfs: local-zfs:subvol-{ctid}-disk-0,size=8G
swap: 512
unprivileged: 1
lxc.apparmor.profile: unconfined
"""
#: What a node has of programs, as far as they are asked; none does anything.
TOOLS = {
    "systemctl": "exit 0",
    "dpkg-query": "echo installed lxc-pve 6.0.5-3",
    "apparmor_parser": "case $* in *--version*) echo AppArmor parser version 4.1.0;; esac",
}

#: Prints the command and what it reads, as a recipe of the checkout sends them.
SENT = """\
import json, sys
from facts.observe import Observe
from facts.program import Asked
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.options import Options
from phoenix.plan.questions import asked_by_harden
from pyinfra.api.command import StringCommand
fleet = parse_fleet(sys.stdin.buffer.read())
asked = Asked(asked_by_harden(fleet, Options()))
command = StringCommand(Observe().command(asked)).get_raw_value()
json.dump([command, "".join(asked.readlines())], sys.stdout)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("--containers", type=int, nargs="+", default=[100, 1000], metavar="N")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--imports", action="store_true")
    options = parser.parse_args()
    checkouts = {"this": ROOT}
    if options.beside:
        checkouts["other"] = options.beside.resolve()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for containers in options.containers:
        with tempfile.TemporaryDirectory() as folder:
            node = Node(Path(folder), containers)
            sent = {which: _sent(checkout, containers) for which, checkout in checkouts.items()}
            for which, one in sent.items():
                print(f"{containers:,} containers, {which}: {len(one[1]):,} bytes sent")
            _measure(node, sent, options.rounds)
            if options.imports:
                for which, one in sent.items():
                    print(which, node.imports(*one), sep="\n")


class Node:
    """A folder in a node's place."""

    def __init__(self, folder: Path, containers: int) -> None:
        self.folder, self.tools = folder, folder / "tools"
        confs = folder / "root/etc/pve/nodes/pve1/lxc"
        for path in (confs, self.tools, folder / "root/etc/apparmor.d"):
            path.mkdir(parents=True)
        (folder / "root/etc/pve/lxc").symlink_to("nodes/pve1/lxc")
        (folder / "root/etc/pve/local").symlink_to("nodes/pve1")
        for ctid in _ctids(containers):
            high, low = divmod(ctid, 256)
            (folder / f"root/srv/{ctid}").mkdir(parents=True)
            (confs / f"{ctid}.conf").write_text(CONF.format(ctid=ctid, high=high, low=low))
        for name, text in TOOLS.items():
            (self.tools / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.tools / name).chmod(0o755)

    def ask(self, command: str, reads: str) -> float:
        """Seconds of processor time of all that ran."""
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run(command, reads)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime

    def instructions(self, command: str, reads: str) -> float | None:
        """Of the program alone, in millions; None without valgrind."""
        if not shutil.which("valgrind"):
            return None
        counts = f"--log-file={self.folder}/counts"
        with_it = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", counts]
        self._run(command, reads, *with_it)
        found = re.search(r"Collected : (\d+)", (self.folder / "counts").read_text())
        return int(found[1]) / 1e6 if found else None

    def starts(self, command: str, reads: str) -> list[str] | None:
        """The programs that it starts, None without strace."""
        if not shutil.which("strace"):
            return None
        told = self.folder / "starts"
        self._run(command, reads, "strace", "-f", "-qq", "-e", "trace=execve", "-o", str(told))
        lines = [line for line in told.read_text().splitlines() if line.endswith("= 0")]
        return [found[1] for one in lines[1:] if (found := re.search(r'execve\("([^"]+)"', one))]

    def imports(self, command: str, reads: str) -> str:
        """What each module takes."""
        return self._run(command.replace("-I", "-I -X importtime", 1), reads).stderr

    def _run(self, command: str, reads: str, *before: str) -> subprocess.CompletedProcess[str]:
        python = "python3 -I"
        return subprocess.run(
            ["sh", "-c", command.replace(python, f"{' '.join([*before, python])}", 1)],
            input=reads,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PHOENIX_ROOT": str(self.folder / "root"),
                "PHOENIX_PATH": str(self.tools),
            },
            capture_output=True,
            text=True,
            check=True,
        )


def _measure(node: Node, sent: Mapping[str, tuple[str, str]], rounds: int) -> None:
    """Have the checkouts take turns, and print what each took."""
    times: dict[str, list[float]] = {which: [] for which in sent}
    for _ in range(rounds):
        for which, one in sent.items():
            times[which].append(node.ask(*one) * 1000)
    medians = {which: statistics.median(taken) for which, taken in times.items()}
    counts = {which: node.instructions(*one) for which, one in sent.items()}
    for which, taken in medians.items():
        started, count = node.starts(*sent[which]), counts[which]
        print(
            f"  {which:6} {taken:7.0f} ms",
            "" if count is None else f"{count:7,.0f} million instructions",
            "" if started is None else f"{len(started)} programs",
            sep="  ",
        )
    if "other" in medians:
        print(f"  other / this: {medians['other'] / medians['this']:.2f} in time", end="")
        if counts["this"] and counts["other"]:
            print(f", {counts['other'] / counts['this']:.2f} in instructions", end="")
        print(flush=True)


def _sent(checkout: Path, containers: int) -> tuple[str, str]:
    """The command of a dry run, and what it reads."""
    entry = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
    fleet = {
        "lxc_configs": {
            str(ctid): {
                **entry,
                "mount_points": [{"host_path": f"/srv/{ctid}", "container_path": "/data"}],
            }
            for ctid in _ctids(containers)
        }
    }
    done = subprocess.run(
        [".venv/bin/python", "-c", SENT],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        input=json.dumps(fleet),
        capture_output=True,
        text=True,
        check=True,
    )
    command, reads = json.loads(done.stdout)
    return command, reads


def _ctids(containers: int) -> range:
    return range(1000, 1000 + containers)


if __name__ == "__main__":
    sys.exit(main())
