"""What an operator reads: the plan before a run, the table of an audit, the list of runs.

Labels, names and what Docker says of itself come from guests and their confs: every line passes
`phoenix.text.printable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from phoenix.plan.actions import NodePlan
from phoenix.plan.audit import HARDEN, AuditedContainer, NodeAudit
from phoenix.plan.findings import BESIDE, DRIFT, Severity
from phoenix.runs.record import RunRecord
from phoenix.text.printable import printable

AUDIT = "deploys/audit.py"


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
    for found in plan.drift:
        yield _line(plan, found.text)
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


def audit_lines(audits: Sequence[NodeAudit]) -> Iterator[str]:
    """What an audit found: on the nodes themselves, their containers as a table, and the rest."""
    for audit in audits:
        for one in audit.findings:
            if one.severity == Severity.ERROR or (one.needs_attention and one.ctid is None):
                yield printable(f"{audit.node}: {one}", None)
    containers = [one for audit in audits for one in audit.containers]
    yield from _container_table(containers)
    attention = sum(not one.ok for one in containers)
    need = "needs" if attention == 1 else "need"
    yield f"{_count(containers)}, {attention} {need} attention"
    if any(one.code in DRIFT for audit in audits for one in audit.findings):
        yield f"drift is put right by {HARDEN}; with --dry it shows what that changes"
    for audit in audits:
        for one in audit.findings:
            if one.code in BESIDE:
                yield printable(f"{audit.node}: {one}", None)


def _container_table(containers: Sequence[AuditedContainer]) -> Iterator[str]:
    rows = [["NODE", "CTID", "NAME", "WANTED", "LIVE LABEL", "DOCKER", "", "VERDICT"]]
    for one in containers:
        mark = "ok" if one.ok else "!!"
        names = [one.node, str(one.ctid), one.name, one.wanted]
        rows.append([*names, one.label, one.docker, mark, one.verdict])
    if len({one.node for one in containers}) == 1:
        rows = [row[1:] for row in rows]
    yield from _table(rows)


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
