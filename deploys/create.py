"""Make the containers that the fleet file describes and no node has, confined from the first start.

    pyinfra inventory.py deploys/create.py [--dry] [-y] [--json] [--data only=970]

Tunables and profiles first, then what an earlier run was interrupted in making, then container by
container: pct, raw lines, the first start under its profile, Docker, the proof. What fails is taken
away again. A container that is there already is harden's business: a second run does nothing.
"""

from pyinfra import host

from deploys.steps import node
from deploys.steps.create import planned_making
from operations import create

run = planned_making()

node.keep_config(run)

node.prepare(run)

for cut in host.loop(run.plan.interrupted):
    run.step(
        create.recover,
        name=f"CT {cut.ctid}: take away what run {cut.run} has begun, then make it",
        undecided=cut.run,
        ctid=cut.ctid,
        again=run.make_again,
    )

create.show_confs(run.plan.creations)

for number, creation in host.loop([*enumerate(run.plan.creations, 1)]):
    run.step(
        create.container,
        name=f"CT {creation.ctid} {creation.name}: make",
        place=run.making(number),
        ctid=creation.ctid,
        creation=creation,
        shown=True,
    )

node.keep_watch(run)

run.verdict()
