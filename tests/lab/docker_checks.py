"""Everything that is known of Docker, under each profile: writes docs/docker-checks.md.

    make docker-checks

Containers wear a profile from their boot on and run all checks of the reference, on either storage
driver: two beside each other, one with runc 1.1 and one with runc 1.3, and another one with its
disk on ZFS. Takes about an hour without KVM, ZFS aside; with `--profile NAME` or `--disk NAME` only
that one is measured and the other lines stay. Fails when a check does, or when AppArmor denied
anything.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from confined import (
    CHECKS_37,
    PROFILES,
    about,
    all_checks,
    denied,
    failed,
    in_guest,
    result,
    results,
    wear,
)
from conftest import CHECKOUT, Node

from lab.vm import Lab

RESULT = result("docker-checks")
#: On each disk, by its file system.
CONTAINERS = {"ext4": (954, 956), "zfs": (959,)}
DRIVERS = ("overlay2", "fuse-overlayfs")

HEAD = """\
# Docker under each profile

Measured by `make docker-checks`. Each line is a container that was booted under the
profile in enforce mode and then ran every check: start, run, exec, build, volumes, networks,
published ports, limits, `--privileged`, `--sysctl`, restart policies, restarting dockerd and so on.
*denied* counts the DENIED lines of that profile in audit.log, boot included, of all containers that
ran beside each other. Those that have to import their image first pass one check more.

Last measured, by disk:
"""
ABOUT = (
    "- {disk}: {date}, kernel {kernel}, AppArmor parser {parser}, LXC {lxc}, Docker {docker}{more}"
)
TABLE = """
| profile | disk | driver | runc | passed | failed | denied |
| --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    """Run all rounds, write the table, name what failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=RESULT)
    parser.add_argument("--profile", choices=PROFILES, action="append")
    parser.add_argument("--disk", choices=CONTAINERS, action="append")
    given = parser.parse_args()
    if not CHECKS_37.exists():
        print(f"{CHECKS_37} is not here: there is nothing to run", file=sys.stderr)
        return 2
    Lab(CHECKOUT).up()
    profiles, disks = given.profile or PROFILES, given.disk or CONTAINERS
    measured = {*product(profiles, disks)}
    rows, code = [row for row in rows_in(RESULT) if (row[0], row[1]) not in measured], 0
    heads = heads_in(RESULT)
    for disk, profile, driver in product(disks, profiles, DRIVERS):
        node = Node(Lab(CHECKOUT).reset())
        for row, wrong in round_of(node, profile, disk, driver):
            rows.append(row)
            print(" ".join(row), flush=True)
            for line in wrong:
                print(f"{profile}, {disk}, {driver}: {line}", file=sys.stderr)
                code = 1
        heads[disk] = head(node, disk)
    rows.sort(key=lambda row: (row[0], [*CONTAINERS].index(row[1]), *row[2:]))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    about_each = [heads[disk] for disk in CONTAINERS if disk in heads]
    given.output.write_text("\n".join([HEAD, *about_each, TABLE + "\n".join(lines), ""]))
    return code


def round_of(node: Node, profile: str, disk: str, driver: str) -> list[tuple[list[str], list[str]]]:
    """Per container its line of the table, and what went wrong in it."""
    ctids = CONTAINERS[disk]
    if disk == "zfs":
        Lab(CHECKOUT).zfs()
    wear(node, dict.fromkeys(ctids, profile))
    # it ends early, with a code, when dockerd does not start: a line says so
    script = f"(\n{all_checks()}\n) || true\n"
    with ThreadPoolExecutor() as pool:
        said = list(
            pool.map(lambda ctid: results(in_guest(node, ctid, script, driver, "full")), ctids)
        )
    refused = denied(node, profile)
    lines = []
    for ctid, checks in zip(ctids, said, strict=True):
        wrong = [*failed(checks), *refused]
        if node.label(ctid) != f"{profile} (enforce)":
            wrong.append(f"CT {ctid} runs as {node.label(ctid)}")
        if len(checks) < 37:
            wrong.append(f"CT {ctid} ran {len(checks)} checks only")
        runc = in_guest(node, ctid, "runc --version | sed -n 's/^runc version //p'").split("+")[0]
        bad = len(failed(checks))
        counts = (len(checks) - bad, bad, len(refused))
        lines.append(([profile, disk, driver, runc.strip(), *map(str, counts)], wrong))
    return lines


def rows_in(path: Path) -> list[list[str]]:
    """The lines of an earlier result; none where there is none."""
    return [line.strip("| ").split(" | ") for line in _lines(path) if line.startswith("| lxc-")]


def heads_in(path: Path) -> dict[str, str]:
    """What an earlier result says of each disk: when it was measured, and on what."""
    starts = {disk: f"- {disk}: " for disk in CONTAINERS}
    return {
        disk: line
        for line in _lines(path)
        for disk, start in starts.items()
        if line.startswith(start)
    }


def head(node: Node, disk: str) -> str:
    """What was measured, and on what."""
    docker = in_guest(node, CONTAINERS[disk][0], "docker version -f '{{.Server.Version}}'").strip()
    more = ""
    if disk == "zfs":
        more = f", ZFS {node.ssh('cat /sys/module/zfs/version').stdout.strip()}"
    return ABOUT.format(**about(node), disk=disk, docker=docker, more=more)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
