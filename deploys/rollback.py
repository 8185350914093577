"""Undo a run of harden or host_prep: its containers first, newest first, then the node's files.

    pyinfra inventory.py deploys/rollback.py [--dry] [-y] [--data run=ID | --data list=true]

Without run=ID the last run is undone, on all its nodes. Each container goes back the way it came:
swapped, restarted, proven, or left as it is now. Undoing a run twice changes nothing.
"""

from pyinfra import host

from deploys.undo import undo
from operations import docker, rollback, transaction

run = undo()

if not run.plan.empty:
    run.step(rollback.begin, name=f"Undo run {run.undoes}", run=run.id, undoes=run.undoes)

for cut in host.loop(run.plan.unsettled):
    run.step(
        transaction.settle,
        name=f"CT {cut.ctid}: settle run {cut.run}, then undo",
        undecided=cut.run,
        run=run.id,
        ctid=cut.ctid,
        again=run.replan,
        back_is_fine=True,
    )

if run.plan.containers:
    run.step(
        transaction.stage,
        name="Stage the containers' old state",
        run=run.id,
        changes=run.plan.containers,
    )

for change in host.loop(run.plan.containers):
    run.step(
        transaction.commit,
        name=f"CT {change.ctid} {change.name}",
        run=run.id,
        ctid=change.ctid,
        again=run.replan,
    )

for removal in host.loop(run.plan.removals):
    run.step(
        docker.no_packages,
        name=f"CT {removal.ctid}: remove packages",
        ctid=removal.ctid,
        packages=removal.packages,
        manager=removal.manager,
        run=run.id,
    )

for file in host.loop(run.plan.files):
    run.step(rollback.put_back, name=file.path, change=file, run=run.id, undoes=run.undoes)

if not run.plan.empty:
    run.verdict()
