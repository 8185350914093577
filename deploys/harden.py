"""Bring the containers under the AppArmor profile that the fleet file names, one at a time.

    pyinfra inventory.py deploys/harden.py [--dry] [-y] [--json] [--data only=910,953]

Tunables and profiles first, then everything staged, then container by container: swap, restart,
prove, or back. After a failure no node begins another container. A node that is right already
costs no operation.
"""

from pyinfra import host

from deploys.survey import survey
from operations import apparmor, transaction

run = survey()

if run.plan.tunables:
    run.step(
        apparmor.tunables,
        name="AppArmor tunables",
        run=run.id,
        observed=run.node_apparmor,
    )

for change in host.loop(run.plan.profiles):
    run.step(
        apparmor.profile,
        name=f"AppArmor profile {change.name}",
        profile=change.name,
        text=change.after,
        run=run.id,
        observed=run.node_apparmor,
    )

if run.plan.containers:
    run.step(
        transaction.stage,
        name="Stage the containers' changes",
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

if not run.plan.empty:
    run.verdict()
