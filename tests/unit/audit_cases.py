"""One container, CT 910, and what an audit finds of it."""

import json

from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
CONF = "hostname: portainer\nunprivileged: 1\n"
OK = ObservedDocker("ok", "26.1.5", "overlay2")
NAMED = f"{CONF}lxc.apparmor.profile: lxc-docker-nested\n"


def container(label="lxc-docker-nested (enforce)", conf=CONF):
    return ObservedContainer(910, PveConf(conf), label is not None, 1, label, None, "pve1")


def finding(observed, entry=DOCKER, docker=OK, drift=()):
    configs = {"910": entry} if entry else {}
    fleet = parse_fleet(json.dumps({"lxc_configs": configs}).encode())
    conf = observed.conf
    change = ContainerChange(910, "portainer", conf, conf, None, True, True, drift)
    plan = NodePlan("pve1", containers=(change,) if drift else ())
    pct = ObservedPct("pve1", {910: observed})
    return audit_node(
        fleet=fleet,
        options=Options(),
        facts=NodeFacts(containers=pct, dockers={910: docker} if docker else {}),
        plan=plan,
    ).containers[0]


def audit(plan, observed=None, fallen=None):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": DOCKER}}).encode())
    pct = ObservedPct("pve1", {910: observed or container()})
    return audit_node(
        fleet=fleet,
        options=Options(),
        facts=NodeFacts(containers=pct, dockers={910: OK}, fallen=fallen or {}),
        plan=plan,
    )
