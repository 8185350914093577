"""A node that lacks containers which a fleet file describes, and what create plans for it."""

from plan_cases import SOURCE, apparmor, fleet, node

from phoenix.plan.create import creation_plan
from phoenix.plan.create_checks import NO_OTHERS
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Severity
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.predict import predict
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.pve.observed import ObservedPct
from phoenix.pve.stock import ObservedStock, Storage
from phoenix.pve.storage import ObservedStorage

TEMPLATE = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
NEW = {"template": TEMPLATE, "storage_pool": "local-zfs"}
DOCKER = {**NEW, "features": ["docker"]}
STOCK = ObservedStock(
    storages={
        "local": Storage("dir", ("vztmpl", "iso")),
        "local-zfs": Storage("zfspool", ("rootdir", "images"), pool="rpool/data"),
    },
    templates=(TEMPLATE,),
    pools=("rpool", "tank"),
)
TEMPLATES = {
    "lxc-docker-nested.j2": SOURCE,
    "lxc-nesting-gpu-docker-storage.j2": SOURCE,
    HOOK_TEMPLATE: "#!/bin/sh\n",
}


def facts(*containers, storage=None, stock=STOCK, host=None):
    pct = node(*containers) if containers else ObservedPct("pve1")
    return NodeFacts(
        containers=pct,
        apparmor=host or apparmor(),
        storage=storage or ObservedStorage(),
        stock=stock,
    )


def create(*containers, options=None, seen=None, here=None, inventory=NO_OTHERS, **entries):
    given, seen = options or Options(), seen or facts(*containers)
    predicted = predict(fleet(**entries), given, seen, TEMPLATES, here, inventory)
    return creation_plan(predicted, TEMPLATES)


def made(*containers, **given):
    """The only creation of a plan in which nothing stands against it."""
    plan = create(*containers, **given)
    assert plan.problems == ()
    (only,) = plan.creations
    return only


def refused(*containers, **given):
    """The only thing that stands against what is asked for; nothing is made then."""
    plan = create(*containers, **given)
    (only,) = (one for one in plan.findings if one.severity == Severity.ERROR)
    assert only.ctid not in [one.ctid for one in plan.creations]
    return only


def harden(seen, **entries):
    return plan_node(fleet=fleet(**entries), options=Options(), facts=seen, templates=TEMPLATES)
