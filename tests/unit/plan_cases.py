"""A node, its containers and a fleet file, and the plan that comes of them."""

import json

from phoenix.apparmor.observed import MARKER, ObservedAppArmor
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import Live, ObservedContainer, ObservedPct
from phoenix.pve.storage import ObservedStorage

CONF = """\
#a description
arch: amd64
features: nesting=1
hostname: portainer
rootfs: local:910/vm-910-disk-0.raw,size=4G
unprivileged: 1
lxc.apparmor.profile: unconfined

[before]
arch: amd64
lxc.apparmor.profile: unconfined
"""
TEXT = f"{MARKER}\nprofile lxc-docker-nested {{}}\n"
SOURCE = (
    "{{ marker }}\n"
    "profile {{ name }}{% if 'complain' in flags %} flags=(complain){% endif %} "
    "{% if stacked %}{ capability mac_admin, }{% else %}{}{% endif %}\n\n"
)
TEMPLATES = {"lxc-docker-nested.j2": SOURCE, HOOK_TEMPLATE: "#!/bin/sh\n"}
ENFORCED = "lxc-docker-nested (enforce)"
DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}


def container(ctid=910, conf=CONF, label="unconfined", **changes):
    running = label is not None
    live = Live(dev_fuse=False, keyctl=True) if running else None
    values = {"ha": None, "node": "pve1", "live": live, **changes}
    return ObservedContainer(
        ctid, PveConf.parse(conf), running, 4711 if running else None, label, **values
    )


def node(*containers):
    return ObservedPct("pve1", {one.ctid: one for one in containers or (container(),)})


def apparmor(**changes):
    values = {"enabled": True, "parser": (4, 1, 0), "abis": ("4.0",)}
    return ObservedAppArmor(**{**values, **changes})


def installed():
    return apparmor(loaded={"lxc-docker-nested": "enforce"}, files={"lxc-docker-nested": TEXT})


def fleet(**entries):
    configs = {ctid.removeprefix("ct"): entry for ctid, entry in entries.items()}
    return parse_fleet(json.dumps({"lxc_configs": configs or {"910": DOCKER}}).encode())


def plan(pct=None, host=None, options=None, storage=None, **entries):
    return plan_node(
        fleet=fleet(**entries),
        options=options or Options(),
        facts=NodeFacts(
            containers=pct or node(),
            apparmor=host or apparmor(),
            storage=storage or ObservedStorage(),
        ),
        templates=TEMPLATES,
    )


def hardened(conf=CONF):
    return conf.replace("nesting=1", "nesting=1,keyctl=1", 1).replace(
        "unconfined", "lxc-docker-nested", 1
    )


def said(planned):
    """Why, as people read it."""
    return tuple(map(str, planned.reasons))
