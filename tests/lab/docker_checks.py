"""Everything that is known of Docker, under each profile: writes docs/docker-checks.md.

    make docker-checks

Two containers, one with runc 1.1 and one with runc 1.3, wear a profile from their boot on and run
all checks of the reference beside each other, on both storage drivers. Takes about an hour without
KVM; with `--profile NAME` only that one is measured and the lines of the others stay. Fails when a
check does, or when AppArmor denied anything.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
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
CONTAINERS = (954, 956)
DRIVERS = ("overlay2", "fuse-overlayfs")

HEAD = """\
# Docker under each profile

Measured by `make docker-checks`, last on {date}: kernel {kernel}, AppArmor parser
{parser}, LXC {lxc}, Docker {docker}. Each line is a container that was booted under the
profile in enforce mode and then ran every check: start, run, exec, build, volumes, networks,
published ports, limits, `--privileged`, `--sysctl`, restart policies, restarting dockerd and so on.
*denied* counts the DENIED lines of that profile in audit.log, boot included, of both containers
together. Those that have to import their image first pass one check more.

| profile | driver | runc | passed | failed | denied |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    """Run all rounds, write the table, name what failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=RESULT)
    parser.add_argument("--profile", choices=PROFILES, action="append")
    given = parser.parse_args()
    output, profiles = given.output, given.profile or PROFILES
    if not CHECKS_37.exists():
        print(f"{CHECKS_37} is not here: there is nothing to run", file=sys.stderr)
        return 2
    Lab(CHECKOUT).up()
    rows, code = [row for row in read(RESULT) if row[0] not in profiles], 0
    for profile in profiles:
        for driver in DRIVERS:
            node = Node(Lab(CHECKOUT).reset())
            for row, wrong in round_of(node, profile, driver):
                rows.append(row)
                print(" ".join(row), flush=True)
                for line in wrong:
                    print(f"{profile}, {driver}: {line}", file=sys.stderr)
                    code = 1
    output.write_text(head(node) + "".join(f"| {' | '.join(row)} |\n" for row in sorted(rows)))
    return code


def round_of(node: Node, profile: str, driver: str) -> list[tuple[list[str], list[str]]]:
    """Per container its line of the table, and what went wrong in it."""
    wear(node, dict.fromkeys(CONTAINERS, profile))
    # it ends early, with a code, when dockerd does not start: a line says so
    script = f"(\n{all_checks()}\n) || true\n"
    with ThreadPoolExecutor() as pool:
        said = list(
            pool.map(lambda ctid: results(in_guest(node, ctid, script, driver, "full")), CONTAINERS)
        )
    refused = denied(node, profile)
    lines = []
    for ctid, checks in zip(CONTAINERS, said, strict=True):
        wrong = [*failed(checks), *refused]
        if node.label(ctid) != f"{profile} (enforce)":
            wrong.append(f"CT {ctid} runs as {node.label(ctid)}")
        if len(checks) < 37:
            wrong.append(f"CT {ctid} ran {len(checks)} checks only")
        runc = in_guest(node, ctid, "runc --version | sed -n 's/^runc version //p'").split("+")[0]
        bad = len(failed(checks))
        counts = (len(checks) - bad, bad, len(refused))
        lines.append(([profile, driver, runc.strip(), *map(str, counts)], wrong))
    return lines


def read(path: Path) -> list[list[str]]:
    """The lines of an earlier result; none where there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| lxc-")]


def head(node: Node) -> str:
    """What was measured, and on what."""
    docker = in_guest(node, CONTAINERS[0], "docker version -f '{{.Server.Version}}'").strip()
    return HEAD.format(**about(node), docker=docker)


if __name__ == "__main__":
    sys.exit(main())
