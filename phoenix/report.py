"""What an operator reads: the plan before a run, the table of an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from phoenix.apparmor import Label, generated_profile
from phoenix.changes import NodePlan
from phoenix.config import Container, Fleet
from phoenix.docker import ObservedDocker
from phoenix.observed import ObservedContainer, ObservedPct
from phoenix.options import Options
from phoenix.ours import Ours
from phoenix.wish import PROFILE_KEY, is_learning, wanted

HARDEN = "pyinfra inventory.py deploys/harden.py"
AUDIT = "deploys/audit.py"


@dataclass(frozen=True)
class Finding:
    """One container in the audit; `ok` is False for what strict=true fails on."""

    node: str
    ctid: int
    name: str
    wanted: str
    label: str
    docker: str
    ok: bool
    verdict: str


def plan_lines(plan: NodePlan, backups: Mapping[int, str] | None = None) -> Iterator[str]:
    """The plan in words: one line each, and the containers as a table in their order.

    `backups`: how old the newest backup of each container is, if somebody asked.
    """
    for note in plan.notes:
        yield f"{plan.node}: {note}"
    if plan.empty:
        yield f"{plan.node}: nothing to change"
    for unsettled in plan.unsettled:
        yield f"{plan.node}: {unsettled}"
    yield from node_lines(plan)
    for profile in plan.profiles:
        yield f"{plan.node}: profile {profile.name}: {profile.reason}"
    if plan.watch:
        words = {"on": "installed", "off": "removed", "keep": "updated"}
        yield f"{plan.node}: watch: {words[plan.watch.timer]}"
    if plan.containers:
        yield f"{plan.node}: {_count(plan.containers)}, one after another:"
        rows = [["#", "CTID", "NAME", "RESTART", *(["BACKUP"] if backups else []), "WHY"]]
        for place, change in enumerate(plan.containers, 1):
            restart = "yes" if change.restart else "Docker" if change.guest else "no"
            backup = [backups[change.ctid]] if backups else []
            why = "; ".join(change.reasons)
            rows.append([str(place), str(change.ctid), change.name, restart, *backup, why])
        yield from _table(rows)
    for one in plan.removals:
        yield f"{plan.node}: CT {one.ctid}: packages to remove: {', '.join(one.packages)}"
    for file in plan.files:
        how = "is taken away" if file.after is None else "goes back to what it was"
        if file.before == file.after:
            how = "is as it was; what was to replace it still lies beside it and goes"
        yield f"{plan.node}: {file.path} {how}"


def node_lines(plan: NodePlan) -> Iterator[str]:
    """What of the node is wrong and shall be put right, its profiles aside; one line each."""
    for line in plan.tunables.lines() if plan.tunables else ():
        yield f"{plan.node}: {line}"
    if plan.site_tunables:
        yield f"{plan.node}: {plan.site_tunables.line}"
    if plan.hook:
        yield f"{plan.node}: {plan.hook.line}"


def audit_node(
    fleet: Fleet,
    options: Options,
    pct: ObservedPct,
    dockers: Mapping[int, ObservedDocker],
    plan: NodePlan,
) -> list[Finding]:
    """One finding per container of the node, in the order of CTIDs."""
    changes = {change.ctid: change for change in plan.containers}
    unsettled = {one.ctid: f"run {one.run} was cut short there" for one in plan.unsettled}
    findings = []
    for ctid, observed in sorted(pct.containers.items()):
        if options.only and ctid not in options.only:
            continue
        container = fleet.containers.get(ctid)
        docker = dockers.get(ctid)
        drift = changes[ctid].reasons if ctid in changes else ()
        if ctid in unsettled:
            drift = (*drift, unsettled[ctid])
        ok, verdict = _verdict(container, options, observed, docker, drift)
        findings.append(
            Finding(
                pct.node,
                ctid,
                observed.conf.hostname or "",
                wanted(container, options).profile if container else "-",
                observed.label or "-",
                str(docker) if docker else "-",
                ok,
                verdict,
            )
        )
    return findings


def _verdict(
    container: Container | None,
    options: Options,
    observed: ObservedContainer,
    docker: ObservedDocker | None,
    drift: Sequence[str],
) -> tuple[bool, str]:
    """Whether a container is as it should be, and if not what to do."""
    if observed.conf.template:
        return True, "template"
    label = Label.parse(observed.label) if observed.label else None
    if container is None:
        if label and not label.confined:
            return False, f"not in {options.fleet}: add it there to have it confined"
        return True, f"not in {options.fleet}"
    wish = wanted(container, options)
    expected = wish.label(container.ctid)
    if why := _fell_out(expected.profile if expected else "", observed, label):
        again = f"{HARDEN} --data only={observed.ctid}"
        return False, f"fell out of confinement, as after a rollback or restore: {why}: {again}"
    if wish.template == "unconfined" and not (label and label.confined):
        return False, "unconfined on request: phoenix adopt names a profile in the fleet file"
    learns = is_learning(label) if label else wish.learning and not drift
    if learns:
        return False, "learning: complain mode; harden without it when done"
    if drift:
        return False, f"drift: {'; '.join(drift)}"
    if label is None:
        return True, "stopped; its conf is right"
    if expected and not (label.wears(expected) and label.mode == expected.mode):
        return False, f"runs as {label}, not {expected}"
    if docker and docker.state in ("dead", "hung", "noshell", "failed"):
        return False, f"confined, but Docker is {docker.state}: journalctl -u docker in the guest"
    return True, "confined"


def _fell_out(wanted: str, observed: ObservedContainer, label: Label | None) -> str | None:
    """In what a container is no longer what a run of ours has proven, and still shall be."""
    if not wanted or Ours.parse(observed.ours).profile != wanted:
        return None
    (named,) = observed.conf.main.raw(PROFILE_KEY)[-1:] or ("generated",)
    profile = generated_profile(observed.ctid) if named == "generated" else named.split("//&")[0]
    if profile != wanted:
        return f"its conf says {named}"
    return f"PID 1 runs as {label}" if label and label.profile != wanted else None


def audit_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The audit as a table."""
    rows = [["NODE", "CTID", "NAME", "WANTED", "LIVE LABEL", "DOCKER", "", "VERDICT"]]
    for f in findings:
        mark = "ok" if f.ok else "!!"
        rows.append([f.node, str(f.ctid), f.name, f.wanted, f.label, f.docker, mark, f.verdict])
    if len({f.node for f in findings}) == 1:
        rows = [row[1:] for row in rows]
    yield from _table(rows)
    yield f"{_count(findings)}, {sum(not f.ok for f in findings)} to look at"
    if any(f.verdict.startswith("drift") for f in findings):
        yield f"drift is put right by {HARDEN}; with --dry it shows what that changes"


def result_lines(node: str, results: Sequence[tuple[int, str, str]]) -> Iterator[str]:
    """What became of each container of a node: CTID, name and outcome, in their order."""
    yield f"{node}: {_count(results)}:"
    rows = [["CTID", "NAME", "RESULT"]]
    yield from _table([*rows, *([str(ctid), name, result] for ctid, name, result in results)])


def outcome(ctid: int, lines: Sequence[str], succeeded: bool) -> str:
    """What became of a container, by what `templates/node/commit.sh` and its like said of it."""
    mine = [line.removeprefix(f"CT {ctid}: ") for line in lines if line.startswith(f"CT {ctid}: ")]
    last = mine[-1] if mine else ""
    if succeeded:
        # planned anew, because somebody changed it, and nothing was to do: the notes say why
        return last if last == "done" else "left as it was found"
    if last.startswith(("refused:", "restored:")):
        return last
    if last.endswith("nothing was changed"):
        return f"refused: {last}"
    if "puts the old state back" in mine:
        return f"failed: {last}"
    return f"failed or cut off, the node may still be at it: {AUDIT} tells what came of it"


def _count(containers: Sequence[object]) -> str:
    return f"{len(containers)} container{'s' * (len(containers) != 1)}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned; the first one is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
