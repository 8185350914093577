"""Bring the containers under the AppArmor profile that the fleet file names, one at a time.

    pyinfra inventory.py deploys/harden.py [--dry] [-y] [--json] [--data only=910,953]

Tunables and profiles first, then what an earlier run was cut short in, then missing packages in the
guests, then everything staged, then container by container: swap, restart, prove, or back. After
a failure no node begins another container. A node that is right already costs no operation.
"""

from pyinfra import host

from deploys import node
from deploys.survey import survey
from operations import docker, transaction
from operations.snapshot import snapshot

run = survey()

node.prepare(run)

for cut in host.loop(run.plan.unsettled):
    run.step(
        transaction.settle,
        name=f"CT {cut.ctid}: settle run {cut.run}, then go on",
        undecided=cut.run,
        run=run.id,
        ctid=cut.ctid,
        again=run.replan,
    )

for change in host.loop(run.plan.packages):
    run.step(
        docker.packages,
        name=f"CT {change.ctid} {change.name}: packages",
        ctid=change.ctid,
        packages=change.guest.packages,
        observed=run.node_dockers[change.ctid],
        run=run.id,
    )

if run.plan.containers:
    run.step(
        transaction.stage,
        name="Stage the containers' changes",
        run=run.id,
        changes=run.plan.containers,
    )

for change in host.loop(run.plan.containers):
    if run.options.snapshot:
        run.step(
            snapshot,
            name=f"Snapshot of CT {change.ctid} {change.name}",
            run=run.id,
            ctid=change.ctid,
            again=run.replan,
        )
    run.step(
        transaction.commit,
        name=f"CT {change.ctid} {change.name}",
        run=run.id,
        ctid=change.ctid,
        again=run.replan,
    )

node.keep_watch(run)

if not run.plan.empty:
    run.verdict()
