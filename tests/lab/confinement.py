"""What root in a container can do, measured under each profile: writes docs/confinement.md.

    make confinement    of the current stack: STACK=current, docs/confinement-current.md

One container of the lab wears each profile, all run the same probes; in a second round three wear
the stacked forms. Fails when a profile lets through what the reference profile stops, or what that
profile itself stopped in the last result.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confined import PROFILES, about, in_guest, result, text, wear
from conftest import CHECKOUT, Node

from lab.vm import Lab
from phoenix.apparmor.allows import ALLOWS
from phoenix.apparmor.observed import Label
from phoenix.plan.confinement import Confinement

MEASURED = CHECKOUT / "tests/recordings/apparmor/measured.md"
RESULT = result("confinement")
PLAIN = [Confinement(name) for name in PROFILES]
STACKED = [Confinement(name, stacked=True) for name in PROFILES]
OURS = [confinement.profile for confinement in (*PLAIN, *STACKED)]
#: All that a single container may be granted.
GRANTED = Confinement(PLAIN[0].template, own=952, allows=ALLOWS)
ROUNDS = (
    dict(
        zip(
            (952, 953, 954, 910, 956),
            (Confinement("unconfined"), Confinement("generated"), *PLAIN),
            strict=True,
        )
    ),
    dict(zip((954, 910, 956, 952), (*STACKED, GRANTED), strict=True)),
)
#: What root may do to the policy of its own namespace; the half that the node enforces stays.
INNER = {
    "aa-changeprofile-unconfined",
    "aa-changeprofile-apparmor-dir",
    "aa-onexec-unconfined",
    "aa-exec-unconfined",
    "aa-replace-write",
    "aa-parser-load",
    "aa-profiles-read",
}
YES, APPARMOR, KERNEL = "**yes**", "AppArmor", "kernel"

HEAD = """\
# What root in a container can do

Measured by `make confinement` on {date}: kernel {kernel}, AppArmor parser {parser}, LXC {lxc},
unprivileged containers of the lab ({features}), each action as root in the container.
All columns come from one run; three are the stacked forms, `NAME-ns`, and the last one is a
container that was granted all of `apparmor_allows` ([apparmor.md](apparmor.md)).

- **yes**: the kernel let it happen;
- AppArmor: refused here, and allowed under `unconfined`;
- kernel: refused under `unconfined` too (the user namespace, seccomp, cgroups, a read-only mount,
  or the thing is not there).

`old-…` and `…-old-…` use mount(2), the others mount(8) of util-linux ≥ 2.39, whose move_mount(2)
AppArmor sees without source and type. Read with it:

- Under `generated` and the stacked forms the `aa-…` actions that say yes change only the inner half
  of the label, or the policy of the container's own namespace; the half that the node enforces
  stays.
- `mnt-bind-etc`: for the same reason a `mount --bind` under `/mnt` is refused where
  `mnt-old-bind-etc` is not: the rule that admits it would admit a procfs (`mnt-proc`), too.
- `old-proc-over-proc-ro`: what `docker run --gpus` mounts for its ldconfig; made writable, it opens
  nothing (`old-proc-over-proc-made-rw`).
- `remount-procsys-rw`: mount_setattr(2) is not mediated by AppArmor; what it would open stays
  shut (`cp-after-rw`).
- `old-proc-in-systemd-dir`: systemd mounts a procfs there for its services; the profiles' list of
  denied files covers that place.
- `insmod`: there is no such program in these containers, it says nothing.

"""


def main() -> int:
    """Run all probes, write the table, name what got through."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=RESULT)
    output = parser.parse_args().output
    Lab(CHECKOUT).up()
    node = Node(Lab(CHECKOUT).reset())
    allowed = {}
    for confinements in ROUNDS:
        allowed |= probe(node, confinements)
    rows = table(allowed)
    bad = [*worse_than_reference(rows), *weaker_than_generated(rows)]
    bad += worse_than(read(RESULT), rows)
    output.write_text(head(node) + render(rows))
    print(f"{output}: {len(rows)} actions under {', '.join(allowed)}")
    for line in bad:
        print(line, file=sys.stderr)
    return 1 if bad else 0


def probe(node: Node, confinements: dict[int, Confinement]) -> dict[str, dict[str, bool]]:
    """Profile to what its container could do; it wears the profile to the end."""
    wear(node, confinements)
    script = text("probe.sh") + text("mnt-probes.sh")
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda ctid: probed(in_guest(node, ctid, script, shell="sh")), confinements)
        allowed = dict(
            zip((confinement.profile for confinement in confinements.values()), said, strict=True)
        )
    for ctid, confinement in confinements.items():
        label, wanted = Label.parse(node.label(ctid)), confinement.label(ctid)
        assert (label.matches(wanted) and label.confined) if wanted else not label.confined, label
    return allowed


def probed(output: str) -> dict[str, bool]:
    """Each action and whether the kernel let it happen, of lines NAME|ok or no|TEXT."""
    lines = [line.split("|") for line in output.splitlines() if line.count("|") == 2]
    return {name: answer == "ok" for name, answer, _ in lines if name != "id"}


def table(allowed: dict[str, dict[str, bool]]) -> dict[str, dict[str, str]]:
    """Action to profile to what happened; an action that a container did not report is an error."""

    def word(action: str, name: str) -> str:
        if allowed[name][action]:
            return YES
        return APPARMOR if allowed["unconfined"][action] else KERNEL

    return {
        action: {name: word(action, name) for name in allowed} for action in allowed["unconfined"]
    }


def worse_than_reference(rows: dict[str, dict[str, str]]) -> list[str]:
    """What a profile of ours lets through and the last column of the reference refuses."""
    cells = [line.split("|") for line in MEASURED.read_text().splitlines() if line[:2] == "| "]
    stopped = {cell[1].strip() for cell in cells if len(cell) == 9 and "no/" in cell[7]}
    assert len(stopped) > 50, "the reference's table is not what it was"
    return [
        f"{action}: the reference profile stops it, {name} does not"
        for action in rows
        for name in OURS
        if action in stopped and rows[action][name] == YES
        if not (action in INNER and name not in PROFILES)
    ]


def weaker_than_generated(rows: dict[str, dict[str, str]]) -> list[str]:
    """What a profile of ours lets through and Proxmox's own, with nesting, refuses."""
    return [
        f"{action}: the generated profile stops it, {name} does not"
        for action, row in rows.items()
        for name in OURS
        if row[name] == YES and row["generated"] != YES
        if not (action in INNER and name not in PROFILES)
    ]


def worse_than(last: dict[str, dict[str, str]], rows: dict[str, dict[str, str]]) -> list[str]:
    """What a profile of ours lets through and the last result says that it stopped."""
    return [
        f"{action}: {name} stopped it the last time"
        for action in rows
        for name in OURS
        if rows[action][name] == YES and last.get(action, {}).get(name, YES) != YES
    ]


def head(node: Node) -> str:
    """What was measured, and on what."""
    features = node.ssh("sed -n 's/^features: //p' /etc/pve/lxc/954.conf").stdout.strip()
    return HEAD.format(**about(node), features=features)


def render(rows: dict[str, dict[str, str]]) -> str:
    """The table in Markdown."""
    names = list(next(iter(rows.values())))
    lines = [["action", *names], ["---"] * (len(names) + 1)]
    lines += [[action, *row.values()] for action, row in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read(path: Path) -> dict[str, dict[str, str]]:
    """An earlier result's table; nothing where there is none."""
    if not path.exists():
        return {}
    lines = [line.strip("| ") for line in path.read_text().splitlines() if line.startswith("| ")]
    names, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows}


if __name__ == "__main__":
    sys.exit(main())
