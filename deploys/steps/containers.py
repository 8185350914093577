"""What becomes of a node's containers, one at a time: shared by harden and rollback."""

from __future__ import annotations

from pyinfra import host

from deploys.steps.run import Run
from operations import transaction
from operations.snapshot import snapshot


def recover(run: Run, then: str, back_is_fine: bool = False) -> None:
    """Recover what an earlier run was interrupted in; `then`: the word for what follows.

    `back_is_fine`: go on although that run's change was taken back.
    """
    for cut in host.loop(run.plan.interrupted):
        run.step(
            transaction.recover,
            name=f"CT {cut.ctid}: recover run {cut.run}, then {then}",
            undecided=cut.run,
            ctid=cut.ctid,
            again=run.replan,
            back_is_fine=back_is_fine,
        )


def commit(run: Run, what: str, snapshots: bool = False) -> None:
    """Stage `what` for all containers, then swap, restart and prove one after another.

    `snapshots`: take one of each before its turn.
    """
    if run.plan.containers:
        name = f"Stage the containers' {what}"
        run.step(transaction.stage, name=name, changes=run.plan.containers)
    for change in host.loop(run.plan.containers):
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
            ctid=change.ctid,
            again=run.replan,
        )
