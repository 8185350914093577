"""What becomes of a node's containers, one at a time: shared by harden and rollback."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pyinfra import host

from deploys.steps.run import Run
from deploys.steps.survey import Survey
from operations import docker, transaction
from operations.snapshot import snapshot
from phoenix.plan.actions import Removal
from phoenix.plan.turns import Turn, swapped_last
from phoenix.report.progress import Place


def recover(run: Run, then: str, back_is_fine: bool = False) -> None:
    """Recover what an earlier run was interrupted in; `then`: the word for what follows.

    `back_is_fine`: go on although that run's change was reverted. One after another, on all
    nodes: it may restart them.
    """
    every = [(node.name, cut) for node, plan in run.plans.items() for cut in plan.interrupted]
    for node, cut in host.loop(every):
        if node != host.name:
            continue
        run.step(
            transaction.recover,
            name=f"CT {cut.ctid}: recover run {cut.run}, then {then}",
            undecided=cut.run,
            ctid=cut.ctid,
            again=run.replan,
            back_is_fine=back_is_fine,
        )


def bring_packages(run: Survey) -> None:
    """Have what guests lack, as they are planned, before anything of them restarts."""
    for change in host.loop(run.plan.packages):
        run.step(
            docker.packages,
            name=f"CT {change.ctid} {change.name}: packages",
            ctid=change.ctid,
            packages=change.guest.packages,
            observed=run.node_dockers[change.ctid],
        )


def commit(run: Run, what: str, snapshots: bool = False) -> None:
    """Stage `what` for all containers, then swap, restart and prove each in its turn.

    Those of which nothing is restarted come last, all in one step. `snapshots`: take one of each
    before its turn.
    """
    if run.plan.containers:
        name = f"Stage the containers' {what}"
        run.step(transaction.stage, name=name, changes=run.plan.containers)
    swapped = swapped_last(run.plan.containers, snapshots)
    changes = {one.ctid: one for one in run.plan.containers if one not in swapped}
    # every node counts every turn: so pyinfra knows which come one after another
    for turn, place in host.loop(_placed(run, snapshots)):
        if any(host.name in (one.node, one.others_node) for one in turn.waits):
            run.meet("; ".join(map(str, turn.waits)))
        if (change := changes.get(turn.containers.get(host.name, 0))) is None:
            continue
        if snapshots:
            run.step(
                snapshot,
                name=f"Snapshot of CT {change.ctid} {change.name}",
                ctid=change.ctid,
                again=run.replan,
            )
        run.step(
            transaction.commit,
            name=f"CT {change.ctid} {change.name}",
            place=place,
            ctid=change.ctid,
            again=run.replan,
        )
    if swapped:
        run.step(
            transaction.commit_together,
            name=f"{len(swapped)} containers of which nothing is restarted",
            ctids=tuple(one.ctid for one in swapped),
            again=run.replan,
        )


def _placed(run: Run, snapshots: bool) -> list[tuple[Turn, Place | None]]:
    """Every turn, and which of those it is in which a container is restarted, on whatever node."""
    last = {
        (node.name, one.ctid)
        for node, plan in run.plans.items()
        for one in swapped_last(plan.containers, snapshots)
    }
    own = [not last >= {*turn.containers.items()} for turn in run.turns]
    numbers = accumulate(map(int, own))
    return [
        (turn, Place(number, sum(own)) if is_own else None)
        for turn, is_own, number in zip(run.turns, own, numbers, strict=True)
    ]


def install_docker(run: Survey, snapshots: bool = False) -> None:
    """Bring Docker into those that shall have it, once they are confined.

    `snapshots`: take one of each container of which nothing is committed, before all of that.
    """
    for change in host.loop(run.plan.only_installs if snapshots else ()):
        run.step(snapshot, name=f"Snapshot of CT {change.ctid} {change.name}", ctid=change.ctid)
    for new in host.loop(run.plan.installs):
        run.step(
            docker.install,
            name=f"CT {new.ctid} {new.name}: Docker",
            ctid=new.ctid,
            install=new.install,
            label=new.label,
            architecture=new.architecture,
            observed=run.node_dockers[new.ctid],
        )


def remove_packages(run: Run, removals: Sequence[Removal]) -> None:
    """Take packages that a run brought out of the guests again."""
    for removal in host.loop(removals):
        run.step(
            docker.no_packages,
            name=f"CT {removal.ctid}: remove {'Docker' if removal.daemon else 'packages'}",
            ctid=removal.ctid,
            packages=removal.packages,
            manager=removal.manager,
            daemon=removal.daemon,
        )
