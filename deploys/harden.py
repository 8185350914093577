"""Bring the containers under the AppArmor profile that the fleet file names, one at a time.

    pyinfra inventory.py deploys/harden.py [--dry] [-y] [--json] [--data only=910,953]

Tunables and profiles first, then what an earlier run was cut short in, then missing packages in the
guests, then everything staged, then container by container: swap, restart, prove, or back. With
install=true Docker comes into those that shall have it and have none, once they are confined. After
a failure no node begins another container. A node that is right already costs no operation.
"""

from deploys.steps import containers, node
from deploys.steps.survey import survey

run = survey()

node.keep_config(run)

node.prepare(run)

containers.recover(run, then="go on")

containers.bring_packages(run)

containers.commit(run, "changes", snapshots=run.options.snapshot)

containers.install_docker(run, snapshots=run.options.snapshot)

node.keep_watch(run)

run.verdict()
