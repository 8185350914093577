"""What an operator reads: the plan before a run, the table of an audit, the list of runs.

Labels, names and what Docker says of itself come from guests and their confs: every line passes
`phoenix.text.printable`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from phoenix.docker.names import DAEMON_JSON
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.findings import BESIDE, DRIFT, Severity
from phoenix.plan.reasons import summary
from phoenix.plan.turns import swapped_last
from phoenix.pve.id_maps import owner_words
from phoenix.report.groups import ALL, FEW, alike, few, finding_lines, grouped
from phoenix.report.next_steps import MENDED
from phoenix.runs.outcome import Ending, Outcome
from phoenix.runs.record import RunRecord
from phoenix.text.printable import printable
from phoenix.text.some import NAMED, some

if TYPE_CHECKING:
    from phoenix.plan.audit import AuditedContainer, NodeAudit

AUDIT = "phoenix audit"


def plan_lines(
    plan: NodePlan,
    backups: Mapping[int, str] | None = None,
    everything: bool = False,
    snapshots: bool = False,
) -> Iterator[str]:
    """The plan in words: one line each, and the containers as a table in their order.

    `backups`: how old the newest backup of each container is, if somebody asked. `snapshots`: one
    is taken of each, so that each has its turn. Of a large fleet
    things of one kind are told together, unless `everything` is asked for.
    """
    told = [one for one in plan.findings if one.severity != Severity.ERROR]
    for note in finding_lines(told, everything):
        yield _line(plan, note)
    if plan.empty:
        yield _line(plan, "nothing to change")
    for interrupted in plan.interrupted:
        yield _line(plan, str(interrupted))
    for its in grouped(plan.drift, lambda one: one.code).values():
        lines = [found.text for found in its]
        for line in lines if everything else few(lines, f"more of this kind ({its[0].code})"):
            yield _line(plan, line)
    if plan.creations:
        yield from _creation_lines(plan)
    if plan.containers:
        yield _line(plan, f"{_count(plan.containers)}, one after another:")
        if everything or len(plan.containers) <= FEW:
            last = swapped_last(plan.containers, snapshots)
            ordered = [*(one for one in plan.containers if one not in last), *last]
            yield from table([*_changes(ordered, backups or {}, everything)])
        else:
            yield from table([*_kinds(plan.containers)])
        taken = [one.ha_line for one in plan.containers if one.ha]
        for line in taken if everything else few(taken, "more of what HA manages"):
            yield _line(plan, line)
    if not everything and max(len(told), len(plan.drift), len(plan.containers)) > FEW:
        yield _line(plan, ALL)
    for new in plan.installs:
        yield _line(plan, new.line)
        if backups and new in plan.only_installs:
            yield _line(plan, f"CT {new.ctid}: backup: {backups[new.ctid]}")
    for goes in plan.destructions:
        yield _line(plan, goes.line)
    for one in plan.removals:
        yield _line(plan, f"CT {one.ctid}: packages to remove: {', '.join(one.packages)}")
        if one.daemon:
            how = "is removed" if one.daemon.after is None else "is restored"
            yield _line(plan, f"CT {one.ctid}: {DAEMON_JSON} {how} with them")
    for file in plan.files:
        how = "is taken away" if file.after is None else "goes back to what it was"
        if file.before == file.after:
            how = "is unchanged; a leftover temporary file beside it will be removed"
        yield _line(plan, f"{file.path} {how}")


def _changes(
    containers: Sequence[ContainerChange], backups: Mapping[int, str], everything: bool
) -> Iterator[list[str]]:
    yield ["#", "CTID", "NAME", "RESTART", *(["BACKUP"] if backups else []), "WHY"]
    for place, change in enumerate(containers, 1):
        backup = [backups[change.ctid]] if backups else []
        why = "; ".join(map(str, change.reasons)) if everything else summary(change.reasons)
        yield [str(place), str(change.ctid), change.name, _restart(change), *backup, why]


def _kinds(containers: Sequence[ContainerChange]) -> Iterator[list[str]]:
    """The same of many containers: which kinds of changes there are, and how many of each."""
    yield ["CONTAINERS", "CTID", "RESTART", "WHY"]

    def kind(change: ContainerChange) -> tuple[str, str]:
        return _restart(change), alike(summary(change.reasons), change.ctid, change.name)

    kinds = [*grouped(containers, kind).items()]
    shown = kinds if len(kinds) <= FEW else kinds[:NAMED]
    for (restart, why), its in shown:
        who = some([str(one.ctid) for one in its])
        yield [str(len(its)), who, restart, why if len(its) > 1 else summary(its[0].reasons)]
    if left := [one for _, its in kinds[len(shown) :] for one in its]:
        who = some([str(one.ctid) for one in left])
        yield [str(len(left)), who, "", f"… {len(kinds) - len(shown)} more kinds of changes"]


def _restart(change: ContainerChange) -> str:
    return "yes" if change.restart else "Docker" if change.guest else "no"


def _creation_lines(plan: NodePlan) -> Iterator[str]:
    """What is made: a table, and what is done for each, every command as a shell would read it."""
    yield _line(plan, f"{_count(plan.creations)} to make, one after another:")
    rows = [["#", "CTID", "NAME", "LABEL", "DOCKER", "THEN"]]
    for place, one in enumerate(plan.creations, 1):
        install = one.install
        docker = f"{install.source}, {install.driver}" if install else "-"
        then = "runs" if one.start else "stopped"
        then += f", snapshot {one.snapshot}" if one.snapshot else ""
        label = str(one.change.label or "-")
        rows.append([str(place), str(one.ctid), one.name, label, docker, then])
    yield from table(rows)
    for one in plan.creations:
        for dataset in one.datasets:
            words = ["zfs", "create", "-p", *_quota(dataset.quota), dataset.name]
            yield printable(f"CT {one.ctid}: {shlex.join(words)}{_owner(dataset.owner)}", None)
        for folder in one.folders:
            words = ["mkdir", folder.path]
            yield printable(f"CT {one.ctid}: {shlex.join(words)}{_owner(folder.owner)}", None)
        for command in one.pct:
            yield printable(f"CT {one.ctid}: {shlex.join(['pct', *command])}", None)


def _quota(quota: int | None) -> list[str]:
    return [] if quota is None else ["-o", f"quota={quota}"]


def _owner(owner: tuple[int, int] | None) -> str:
    return "" if owner is None else f" (for {owner_words(owner)})"


def audit_lines(audits: Sequence[NodeAudit], everything: bool = False) -> Iterator[str]:
    """What an audit found: on the nodes themselves, their containers as a table, and the rest.

    What is the same of many containers is told together, unless `everything` is asked for.
    """
    for audit in audits:
        first = [
            one
            for one in audit.findings
            if one.severity == Severity.ERROR or (one.needs_attention and one.ctid is None)
        ]
        for line in finding_lines(first, everything):
            yield printable(f"{audit.node}: {line}", None)
    containers = [one for audit in audits for one in audit.containers]
    yield from _container_table(containers)
    if len(audits) > 1:
        for audit in audits:
            yield printable(f"{audit.node}: {_attention(audit.containers)}", None)
    nodes = [audit.node for audit in audits if not audit.ok]
    yield printable(_attention(containers, nodes), None)
    if any(one.code in DRIFT for audit in audits for one in audit.findings):
        yield f"drift is {MENDED}"
    for audit in audits:
        # what needs attention is told already, above the table or in it
        rest = [one for one in audit.findings if one.code in BESIDE and not one.needs_attention]
        for line in finding_lines(rest, everything):
            yield printable(f"{audit.node}: {line}", None)


def _attention(containers: Sequence[AuditedContainer], nodes: Sequence[str] = ()) -> str:
    return f"{_count(containers)}, {attention(sum(not one.ok for one in containers), nodes)}"


def attention(count: int, nodes: Sequence[str]) -> str:
    """How many containers need attention, and which nodes do themselves."""
    text = f"{count} {'needs' if count == 1 else 'need'} attention"
    if not nodes:
        return text
    does, named = "does" if len(nodes) == 1 else "do", ", ".join(nodes)
    return f"{text}; so {does} {named}" if count else f"{text}; {named} {does}"


def _container_table(containers: Sequence[AuditedContainer]) -> Iterator[str]:
    rows = [["NODE", "CTID", "NAME", "WANTED", "LIVE LABEL", "DOCKER", "", "VERDICT"]]
    for one in containers:
        mark = "ok" if one.ok else "!!"
        names = [one.node, str(one.ctid), one.name, one.wanted]
        rows.append([*names, one.label, one.docker, mark, one.verdict])
    if len({one.node for one in containers}) == 1:
        rows = [row[1:] for row in rows]
    yield from table(rows)


def result_lines(node: str, results: Sequence[tuple[int, str, str]]) -> Iterator[str]:
    """What became of each container of a node: CTID, name and outcome, in their order."""
    yield printable(f"{node}: {_count(results)}:", None)
    rows = [["CTID", "NAME", "RESULT"]]
    yield from table([*rows, *([str(ctid), name, result] for ctid, name, result in results)])


def result(outcomes: Sequence[Outcome], succeeded: bool) -> str:
    """What became of a container, in a cell of the table.

    `outcomes`: those of all its steps in their order, or that of the one that failed, if any.
    """
    last = outcomes[-1] if outcomes else None
    if succeeded:
        # planned anew, because somebody changed it, and nothing was to do: the notes say why
        told = [one for one in outcomes if one.ending is not Ending.CHANGED]
        if any(one.ending is Ending.DONE for one in told):
            # packages come before the commit, which uses them, and go after it
            told = [one for one in told if one.ending is not Ending.INSTALLED]
        return "; ".join(map(_short, told)) or "left as it was found"
    if last is None:
        return (
            f"failed or connection lost; the node may still be working: run {AUDIT} for the result"
        )
    if last.ending is Ending.CHANGED:
        last = Outcome(Ending.REFUSED, last.text)
    if last.ending in (Ending.DONE, Ending.INSTALLED, Ending.REMOVED, Ending.KEPT):
        # recovered at once, after whatever ended the step itself
        return printable(f"{last}, but the step was interrupted: run {AUDIT}", None)
    return printable(str(last), None)


def _short(one: Outcome) -> str:
    """An outcome; why packages stay may be a guest's words, of any length."""
    return printable(str(one), 160 if one.ending is Ending.KEPT else None)


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
            state = f"rollback of {run.undoes}"
        else:
            state = "done" if stand else "fully reverted"
        rows.append([run.id, node, state, ", ".join(stand) or "-"])
    if len(rows) == 1:
        yield "no run has left a journal on these nodes"
    else:
        yield from table(rows)


def _line(plan: NodePlan, text: str) -> str:
    return printable(f"{plan.node}: {text}", None)


def _count(containers: Sequence[object]) -> str:
    return f"{len(containers)} container{'s' * (len(containers) != 1)}"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned; the first one is the heading."""
    plain = [[printable(cell, None) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    for row in plain:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
