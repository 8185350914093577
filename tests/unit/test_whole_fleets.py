"""From `adopt` through one run to the audit: nothing of a real fleet stays unconfined."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fleet_cases import real
from plan_cases import apparmor, container, node

from phoenix.fleet.adopt import adopt
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.audit import audit_node
from phoenix.plan.confinement import says_open
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.plan.render import profile_names

FOLDER = Path(__file__).parents[2] / "templates"
TEMPLATES = {path.name: path.read_text() for path in FOLDER.glob("apparmor/*.j2")}
TEMPLATES[HOOK_TEMPLATE] = (FOLDER / "node" / HOOK_TEMPLATE).read_text()
FLEETS = ["fleet-15.json", "fleet-22.json"]
# of what the files ask for of the node itself, all
OPTIONS = Options(allow=("raw-hooks", "host-paths"))
CONF = "hostname: ct\nunprivileged: 1\nlxc.apparmor.profile: unconfined\n"


def planned(fleet, pct, host):
    facts = NodeFacts(containers=pct, apparmor=host)
    return plan_node(fleet=fleet, options=OPTIONS, facts=facts, templates=TEMPLATES)


def done(plan, pct):
    """The node as it is once the plan was carried out: its containers and its AppArmor."""
    after = dict(pct.containers)
    for change in plan.containers:
        was = after[change.ctid]
        label = str(change.label) if was.running and change.label else was.label
        after[change.ctid] = replace(was, conf=change.after, label=label)
    host = apparmor(
        loaded={change.name: change.mode for change in plan.profiles},
        files={
            **{change.name: change.after for change in plan.profiles},
            **{one.path.removeprefix("/etc/apparmor.d/"): one.after for one in plan.own_files},
        },
    )
    return replace(pct, containers=after), host


@pytest.mark.parametrize("name", FLEETS)
@pytest.mark.parametrize("label", ["unconfined", None], ids=["running", "stopped"])
def test_adopt_and_one_run_leave_no_container_of_a_real_fleet_unconfined(name, label):
    fleet = parse_fleet(
        adopt(real(name), "lxc-docker-nested", None, profile_names(TEMPLATES)).after
    )
    pct = node(*(container(ctid, CONF, label, live=None) for ctid in fleet.containers))
    plan = planned(fleet, pct, apparmor())
    assert plan.problems == ()
    assert {change.ctid for change in plan.containers} == {*fleet.containers}
    now, host = done(plan, pct)
    assert not [one.ctid for one in now.containers.values() if says_open(one.conf)]
    again = planned(fleet, now, host)
    assert again.empty
    found = audit_node(fleet=fleet, options=OPTIONS, facts=NodeFacts(containers=now), plan=again)
    assert [one.verdict for one in found.containers if not one.ok] == []
    assert not found.needs_attention


@pytest.mark.parametrize("name", FLEETS)
def test_the_one_that_the_file_insists_on_stays_unconfined_and_is_shown(name):
    text = adopt(real(name), "lxc-docker-nested", None, profile_names(TEMPLATES)).after
    data = json.loads(text)
    data["lxc_configs"]["953"]["apparmor_profile"] = "unconfined"
    fleet = parse_fleet(json.dumps(data).encode())
    pct = node(*(container(ctid, CONF, "unconfined", live=None) for ctid in fleet.containers))
    now, host = done(planned(fleet, pct, apparmor()), pct)
    assert [one.ctid for one in now.containers.values() if says_open(one.conf)] == [953]
    found = audit_node(
        fleet=fleet,
        options=OPTIONS,
        facts=NodeFacts(containers=now),
        plan=planned(fleet, now, host),
    )
    (wrong,) = [one for one in found.containers if not one.ok]
    assert (wrong.ctid, [one.code for one in wrong.findings]) == (953, [Code.UNCONFINED])
