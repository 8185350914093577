"""What an operator reads: the plan before a run, the table of an audit, the list of runs.

Labels, names and what Docker says of itself come from guests and their confs: every line passes
`phoenix.text.printable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phoenix.apparmor.observed import Label, generated_profile
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.parse import Container, Fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.confinement import PROFILE_KEY, is_learning, wanted
from phoenix.plan.options import Options
from phoenix.pve.managed import Ours
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.privileged import WAY_OUT, is_privileged
from phoenix.runs.record import RunRecord
from phoenix.text.printable import printable

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
        yield _line(plan, note)
    if plan.empty:
        yield _line(plan, "nothing to change")
    for unsettled in plan.unsettled:
        yield _line(plan, str(unsettled))
    yield from node_lines(plan)
    for profile in plan.profiles:
        yield _line(plan, f"profile {profile.name}: {profile.reason}")
    if plan.watch:
        words = {"on": "installed", "off": "removed", "keep": "updated"}
        yield _line(plan, f"watch: {words[plan.watch.timer]}")
    if plan.containers:
        yield _line(plan, f"{_count(plan.containers)}, one after another:")
        rows = [["#", "CTID", "NAME", "RESTART", *(["BACKUP"] if backups else []), "WHY"]]
        for place, change in enumerate(plan.containers, 1):
            restart = "yes" if change.restart else "Docker" if change.guest else "no"
            backup = [backups[change.ctid]] if backups else []
            why = "; ".join(change.reasons)
            rows.append([str(place), str(change.ctid), change.name, restart, *backup, why])
        yield from _table(rows)
    for one in plan.removals:
        yield _line(plan, f"CT {one.ctid}: packages to remove: {', '.join(one.packages)}")
    for file in plan.files:
        how = "is taken away" if file.after is None else "goes back to what it was"
        if file.before == file.after:
            how = "is as it was; what was to replace it still lies beside it and goes"
        yield _line(plan, f"{file.path} {how}")


def node_lines(plan: NodePlan) -> Iterator[str]:
    """What of the node is wrong and shall be put right, its profiles aside; one line each."""
    for line in plan.tunables.lines() if plan.tunables else ():
        yield _line(plan, line)
    if plan.site_tunables:
        yield _line(plan, plan.site_tunables.line)
    for change in plan.own_files:
        yield _line(plan, change.line)


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
        ok, verdict = _verdict(
            container, options, observed, docker, drift, plan.alone.get(ctid, "")
        )
        if owner := _owner(fleet, options, observed):
            ok, verdict = False, f"under the own profile of CT {owner}, with all that it grants"
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
    alone: str,
) -> tuple[bool, str]:
    """Whether a container is as it should be, and if not what to do.

    `alone`: why a run leaves it alone, "" if it does not.
    """
    if observed.conf.template:
        return True, "template"
    label = Label.parse(observed.label) if observed.label else None
    if container is None:
        if label and not label.confined:
            return False, f"not in {options.fleet}: add it there to have it confined"
        return True, f"not in {options.fleet}"
    wish = wanted(container, options)
    expected = wish.label(container.ctid)
    privileged = is_privileged(observed.conf)
    if wish.named and privileged:
        return (
            False,
            f"privileged: root in it is root of the node, which no profile holds: {WAY_OUT}",
        )
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
    root = ", but privileged: root in it is root of the node" if privileged else ""
    if label is None:
        return True, f"stopped; its conf is right{root}"
    if expected and not (label.wears(expected) and label.mode == expected.mode):
        return False, f"runs as {label}, not {expected}{alone and f'; {alone}'}"
    if alone:
        return False, f"confined, but {alone}"
    if docker and docker.state in ("failed", "flooded"):
        return False, f"confined, but {docker.error or 'its guest cannot be asked'}: look there"
    if docker and docker.state in ("dead", "hung", "noshell"):
        return False, f"confined, but Docker is {docker.state}: journalctl -u docker in the guest"
    return True, f"confined{root}"


def _owner(fleet: Fleet, options: Options, observed: ObservedContainer) -> int | None:
    """The other container whose own profile this one has, as a clone of it does."""
    named = observed.conf.main.raw(PROFILE_KEY)[-1:]
    has = {Label.parse(text).profile for text in (observed.label or "", *named)}
    for ctid, container in fleet.containers.items():
        wish = wanted(container, options)
        if wish.own is not None and ctid != observed.ctid and wish.profile in has:
            return ctid
    return None


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
    yield printable(f"{node}: {_count(results)}:", None)
    rows = [["CTID", "NAME", "RESULT"]]
    yield from _table([*rows, *([str(ctid), name, result] for ctid, name, result in results)])


def outcome(ctid: int, lines: Sequence[str], succeeded: bool) -> str:
    """What became of a container, by what the node said of it while it worked on it.

    `lines`: those of all its steps in their order, or of the one that failed.
    """
    about = f"CT {ctid}: "
    mine = [line[len(about) :] for line in lines if line.startswith(about)]
    last = mine[-1] if mine else ""
    if succeeded:
        # after the commit of a rollback packages go, or stay with the reason
        packages = [
            _cut(line) for line in mine if line.startswith("removed: ") or " stays: " in line
        ]
        if "done" in mine:
            return printable("; ".join(["done", *packages[-1:]]), None)
        # planned anew, because somebody changed it, and nothing was to do: the notes say why
        return printable("".join(packages[-1:]) or "left as it was found", None)
    if last.startswith(("refused:", "restored:")):
        return printable(last, None)
    if last.endswith("nothing was changed"):
        return printable(f"refused: {last}", None)
    if "puts the old state back" in mine:
        return printable(f"failed: {last}", None)
    return f"failed or cut off, the node may still be at it: {AUDIT} tells what came of it"


def _cut(line: str) -> str:
    """A line about packages; why some stay may be a guest's words, of any length."""
    names, stays, reason = line.partition(" stays: ")
    return f"{names}{stays}{printable(reason, 120)}" if stays else line


def run_lines(
    nodes: Mapping[str, Sequence[RunRecord]], working: Collection[str] = ()
) -> Iterator[str]:
    """The runs of all nodes as a table, the newest first: what `--data list=true` shows.

    `working`: ids of the runs that are at work at this moment.
    """
    undone = {(node, run.undoes) for node, runs in nodes.items() for run in runs if run.undoes}
    rows = [["RUN", "NODE", "STATE", "CHANGED"]]
    every = [(run, node) for node, runs in nodes.items() for run in runs]
    for run, node in sorted(every, key=lambda one: (one[0].id, one[1]), reverse=True):
        stand = [str(change.thing) for change in run.changes if change.stands]
        if run.open_containers:
            state = "at work" if run.id in working else "interrupted"
        elif (node, run.id) in undone:
            state = "rolled back"
        elif run.undoes:
            state = f"undid {run.undoes}"
        else:
            state = "done" if stand else "nothing left of it"
        rows.append([run.id, node, state, ", ".join(stand) or "-"])
    if len(rows) == 1:
        yield "no run has left a journal on these nodes"
    else:
        yield from _table(rows)


def _line(plan: NodePlan, text: str) -> str:
    return printable(f"{plan.node}: {text}", None)


def _count(containers: Sequence[object]) -> str:
    return f"{len(containers)} container{'s' * (len(containers) != 1)}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned; the first one is the heading."""
    plain = [[printable(cell, None) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    for row in plain:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
