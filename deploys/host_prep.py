"""Prepare the node: repair its AppArmor tunables, install and load the profiles that are named.

    pyinfra inventory.py deploys/host_prep.py [--dry] [-y] [--data only=910,953]

Touches no container. harden.py does the same first.
"""

from pyinfra import host

from deploys.survey import survey
from operations import apparmor

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

if run.plan.tunables or run.plan.profiles:
    run.verdict()
