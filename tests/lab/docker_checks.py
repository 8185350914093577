"""What people run, under each profile: writes docs/docker-checks.md.

    make docker-checks    of the current stack: STACK=current, docs/docker-checks-current.md

Containers wear a profile from their boot on, beside each other, and run everything that is known of
Docker on each store: its own work (`guest/docker.sh`), what people run (`guest/workloads.sh`), and
systemd's sandbox directives one by one (`guest/units.sh`). First they do so unconfined, unless the
page has that of these versions: what fails there is no fault of a profile. Takes hours without KVM;
with `--profile`, `--disk` and `--store` only those are measured, and the other lines stay. Fails
when a check does that passes unconfined, or when AppArmor denied anything.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from confined import (
    PROFILES,
    about,
    denied,
    docker_checks,
    failed,
    in_guest,
    result,
    results,
    text,
    wear,
)
from conftest import CHECKOUT, Node

from lab.recipe import chosen
from lab.vm import Lab
from phoenix.apparmor.observed import Label
from phoenix.plan.confinement import Confinement

RESULT = result("docker-checks")
UNCONFINED = "unconfined"
#: Each form that is measured; what the first two refuse is no fault of ours.
FORMS = {
    confinement.profile: confinement
    for confinement in (
        *(Confinement(name) for name in (UNCONFINED, "generated", *PROFILES)),
        *(Confinement(name, stacked=True) for name in PROFILES),
    )
}
NOT_OURS = (UNCONFINED, "generated")

#: What a store is for Docker, as its daemon.json says it.
STORES = {
    "overlay2": '{"storage-driver": "overlay2"}',
    "fuse-overlayfs": '{"storage-driver": "fuse-overlayfs"}',
    "image store": '{"features": {"containerd-snapshotter": true}}',
}
UNITS, OLDER = "systemd", "overlay2, Debian 12"
NAMES = (*STORES, UNITS, OLDER)


@dataclass(frozen=True)
class Guest:
    """A container that takes part: what its line of the page is called, and its store, if any."""

    ctid: int
    name: str
    store: str | None = None
    units: bool = False

    @property
    def least(self) -> int:
        """So many checks it runs at least: fewer, and something ended early."""
        return (75 if self.store else 0) + (70 if self.units else 0)


def rounds(disk: str, only: list[str] | None) -> Iterator[list[Guest]]:
    """The guests of a disk that run beside each other, one round after another."""
    if disk == "zfs":
        every = [[Guest(959, store, store)] for store in STORES]
    else:
        ctids = dict(zip(STORES, (956, 954, 957), strict=True))
        every = [[*(Guest(ctids[store], store, store) for store in STORES)]]
        every[0].append(Guest(953, UNITS, units=True))
        if chosen().older_suite:
            every[0].append(Guest(955, OLDER, "overlay2", units=True))
    for guests in every:
        if wanted := [guest for guest in guests if not only or guest.name in only]:
            yield wanted


HEAD = """\
# What people run, under each profile

Measured by `make docker-checks`. Each line is a container that was booted under the profile in
enforce mode (`-ns`: stacked) and then ran every check on one store of Docker: start, run, exec,
build, volumes, networks, published ports, limits, restarting dockerd and so on; BuildKit and
compose; volumes with bind options, the binds of monitoring containers, networks of all drivers,
swarm. `systemd` is a container without Docker in which a unit starts with each sandbox directive of
systemd.exec(5) by itself.

*failed* are checks that pass unconfined; *not here* those that fail unconfined, too, and so are no
fault of a profile: they are named below. *denied* counts the DENIED lines of that profile in
audit.log, boot included, of all containers that ran beside each other.
"""
TABLE = """
| profile | disk | store | passed | failed | not here | denied | measured |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
VERSIONS = "kernel {kernel}, AppArmor parser {parser}, LXC {lxc}, "
ABOUT = "- {date}: " + VERSIONS + "Docker {docker}{more}"


@dataclass(frozen=True)
class Row:
    """A line of the page; its first three words name it."""

    profile: str
    disk: str
    store: str
    passed: str
    failed: str
    unfit: str
    denied: str
    date: str

    @property
    def line(self) -> str:
        return f"| {' | '.join(self.words)} |"

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.name, self.passed, self.failed, self.unfit, self.denied, self.date)

    @property
    def name(self) -> tuple[str, str, str]:
        return self.profile, self.disk, self.store


@dataclass
class Page:
    """The page: its lines, what was measured on which day, and what fails unconfined."""

    rows: dict[tuple[str, str, str], Row]
    heads: dict[str, str]
    unfit: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Page:
        """An earlier page; an empty one where there is none in this form."""
        page = cls({}, {}, {})
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.strip("| ").split(" | ")
            if words[0] in FORMS and len(words) == 8:
                row = Row(*words)
                page.rows[row.name] = row
            elif found := re.fullmatch(r"- ([0-9-]{10}(?:, zfs)?): .+", line):
                page.heads[found[1]] = line
            elif found := re.fullmatch(r"- (\w+, [^:]+): (`.+)", line):
                page.unfit[found[1]] = found[2]
        return page

    def unfit_of(self, disk: str, guest: Guest) -> set[str]:
        """The checks that fail unconfined, too."""
        return {*re.findall(r"`([^`]+)`", self.unfit.get(f"{disk}, {guest.name}", ""))}

    def knows(self, disk: str, guest: Guest, its: dict[str, str]) -> bool:
        """Whether what fails unconfined was measured with these versions."""
        row = self.rows.get((UNCONFINED, disk, guest.name))
        head = self.heads.get(row.date + day_of(disk), "") if row else ""
        return VERSIONS.format(**its) in head

    def write(self, path: Path) -> None:
        forms = [*FORMS]
        rows = sorted(self.rows.values(), key=lambda row: (forms.index(row.profile), row.name))
        dates = {row.date for row in rows}
        heads = [line for day, line in sorted(self.heads.items()) if day.split(",")[0] in dates]
        unfit = [f"- {name}: {checks}" for name, checks in sorted(self.unfit.items())]
        parts = [HEAD, *heads, TABLE + "\n".join(row.line for row in rows)]
        if unfit:
            parts += ["\nWhat fails unconfined, too:\n", *unfit]
        path.write_text("\n".join((*parts, "")))


def day_of(disk: str) -> str:
    """What follows the date in the line of a day's versions."""
    return ", zfs" if disk == "zfs" else ""


def main() -> int:
    """Run all rounds, write the page after each, name what failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=RESULT)
    parser.add_argument("--profile", choices=FORMS, action="append")
    parser.add_argument("--disk", choices=("ext4", "zfs"), action="append")
    parser.add_argument("--store", choices=NAMES, action="append")
    given = parser.parse_args()
    Lab(CHECKOUT).up()
    page, code = Page.read(RESULT), 0
    forms = dict.fromkeys((UNCONFINED, *(given.profile or FORMS)))
    for disk in given.disk or ("ext4", "zfs"):
        for guests in rounds(disk, given.store):
            for form in forms:
                node = Node(Lab(CHECKOUT).reset())
                its = about(node)
                if form == UNCONFINED and all(page.knows(disk, one, its) for one in guests):
                    continue
                said, refused = round_of(node, FORMS[form], disk, guests)
                wrong = note(page, node, form, disk, said, refused)
                page.write(given.output)
                for line in wrong:
                    print(f"{form}, {disk}: {line}", file=sys.stderr, flush=True)
                    code = code or form not in NOT_OURS
    return int(code)


def round_of(
    node: Node, confinement: Confinement, disk: str, guests: list[Guest]
) -> tuple[dict[Guest, dict[str, str]], list[str]]:
    """Per guest each check and its line, and what AppArmor denied."""
    if disk == "zfs":
        Lab(CHECKOUT).zfs()
    wear(node, {guest.ctid: confinement for guest in guests})
    with ThreadPoolExecutor() as pool:
        said = dict(zip(guests, pool.map(lambda guest: ask(node, guest), guests), strict=True))
    for guest in guests:
        label, wanted = Label.parse(node.label(guest.ctid)), confinement.label(guest.ctid)
        assert label.matches(wanted) and label.confined if wanted else not label.confined, label
    return said, denied(node, confinement.profile) if confinement.named else []


def ask(node: Node, guest: Guest) -> dict[str, str]:
    """Everything that this guest runs."""
    found = {}
    if guest.store:
        # else it makes one with fewer programs in it
        in_guest(node, guest.ctid, "ln -sf /usr/share/lab/hello.tar /root/hello.tar")
        # it ends early, with a code, when dockerd does not start: a line says so
        script = f"(\n{docker_checks(STORES[guest.store])}\n) || true\n"
        words = (guest.store.replace(" ", "-"), "full")
        found = results(in_guest(node, guest.ctid, script, *words, timeout=6000))
        workloads = text("workloads.sh")
        plugins = "/usr/libexec/docker/cli-plugins"
        there = f"ln -sfn /usr/share/lab/cli-plugins {plugins}"
        # every command of a docker with plugins runs them all, which takes an emulated one seconds
        in_guest(node, guest.ctid, f"mkdir -p {Path(plugins).parent} && {there}")
        built = ("buildkit-build", "buildkit-run", "buildkit-mounts", "compose-up", "compose-down")
        found |= results(in_guest(node, guest.ctid, workloads, *built, timeout=6000))
        in_guest(node, guest.ctid, f"rm -f {plugins}")
        found |= results(in_guest(node, guest.ctid, workloads, timeout=6000))
    if guest.units:
        found |= results(in_guest(node, guest.ctid, text("units.sh"), timeout=6000))
    return found


def note(
    page: Page,
    node: Node,
    form: str,
    disk: str,
    said: dict[Guest, dict[str, str]],
    refused: list[str],
) -> list[str]:
    """Put a round into the page; gives what is wrong."""
    its = about(node)
    wrong = [] if form in NOT_OURS else list(refused)
    for guest, checks in said.items():
        if form == UNCONFINED:
            names = sorted(line.split()[1].rstrip(":") for line in failed(checks))
            page.unfit.pop(f"{disk}, {guest.name}", None)
            if names:
                page.unfit[f"{disk}, {guest.name}"] = ", ".join(f"`{one}`" for one in names)
        unfit = page.unfit_of(disk, guest)
        bad = {name: line for name, line in checks.items() if not line.startswith("PASS ")}
        faults = [line for name, line in bad.items() if name not in unfit]
        counts = (len(checks) - len(bad), len(faults), len({*bad} & unfit), len(refused))
        row = Row(form, disk, guest.name, *map(str, counts), its["date"])
        page.rows[row.name] = row
        print(" ".join(row.words), flush=True)
        wrong += [f"{guest.name}: {line}" for line in faults]
        if len(checks) < guest.least:
            wrong.append(f"{guest.name}: ran {len(checks)} checks only")
    zfs = disk == "zfs"
    more = f", ZFS {node.ssh('cat /sys/module/zfs/version').stdout.strip()}" if zfs else ""
    asks = next((guest.ctid for guest in said if guest.store), None)
    version = "docker version -f '{{.Server.Version}}'"
    docker = in_guest(node, asks, version).strip() if asks else "not asked"
    day = its["date"] + day_of(disk)
    page.heads[day] = ABOUT.format(**{**its, "date": day}, docker=docker, more=more)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
