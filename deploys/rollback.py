"""Roll back a run of harden, create or host_prep: containers first, the newest first, then files.

    pyinfra inventory.py deploys/rollback.py [--dry] [-y] [--data run=ID | --data list=true]

A Docker that the run installed goes before: without the conf of that run it might not start.
Without run=ID that is the last run, on all its nodes. Each container goes back the way it came:
swapped, restarted, proven, or left as it is now. One that the run has made is destroyed, with
force=created and only if it is as the run left it. Rolling a run back twice changes nothing.
"""

from pyinfra import host

from deploys.steps import containers, node
from deploys.steps.rollback import planned_rollback
from operations import rollback

run = planned_rollback()

node.keep_config(run)

if not run.plan.empty:
    run.step(rollback.begin, name=f"Roll back run {run.undoes}", undoes=run.undoes)

containers.recover(run, then="roll back", back_is_fine=True)

containers.remove_packages(run, [one for one in run.plan.removals if one.daemon])

containers.commit(run, "old state")

for made in host.loop(run.plan.destructions):
    run.step(
        rollback.destroy, name=f"CT {made.ctid} {made.name}: destroy", ctid=made.ctid, change=made
    )

containers.remove_packages(run, [one for one in run.plan.removals if not one.daemon])

for file in host.loop(run.plan.files):
    run.step(rollback.restore_file, name=file.path, change=file, undoes=run.undoes)

run.verdict()
