"""Bring the containers under the AppArmor profile that the fleet file names, one at a time.

    pyinfra inventory.py deploys/harden.py [--dry] [-y] [--json] [--data only=910,953]

Tunables and profiles first, then what an earlier run was cut short in, then missing packages in the
guests, then everything staged, then container by container: swap, restart, prove, or back. With
install=true Docker comes into those that shall have it and have none, once they are confined. After
a failure no node begins another container. A node that is right already costs no operation.
"""

from pyinfra import host

from deploys.steps import containers, node
from deploys.steps.survey import survey
from operations import docker

run = survey()

node.keep_config(run)

node.prepare(run)

containers.recover(run, then="go on")

for change in host.loop(run.plan.packages):
    run.step(
        docker.packages,
        name=f"CT {change.ctid} {change.name}: packages",
        ctid=change.ctid,
        packages=change.guest.packages,
        observed=run.node_dockers[change.ctid],
    )

containers.commit(run, "changes", snapshots=run.options.snapshot)

if run.options.snapshot:
    containers.snapshots(run, run.plan.only_installs)

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

node.keep_watch(run)

if not run.plan.empty or run.plan.alone:
    run.verdict()
