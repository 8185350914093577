"""Prepare the node: repair its AppArmor tunables, install and load the profiles that are named.

    pyinfra inventory.py deploys/host_prep.py [--dry] [-y] [--data only=910,953] [--data watch=true]

watch=true: a timer that tells the journal which containers do not carry their label; false removes
it. Touches no container. harden.py does the same, the watch last.
"""

from deploys.steps import node
from deploys.steps.survey import survey

run = survey(containers=False)

node.keep_config(run)
node.prepare(run)
node.keep_watch(run)

run.verdict()
