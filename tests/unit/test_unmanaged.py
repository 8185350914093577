"""Containers of a node that the fleet file does not name, as the audit shows them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from plan_cases import container, fleet, installed, node, plan

from phoenix.apparmor.denials import ObservedDenials
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.audit import audit_node
from phoenix.plan.confinement import says_open
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.report.audit import NodeReport, audit_data
from phoenix.report.page import audit_page
from phoenix.report.terminal import audit_lines

PAGE = (Path(__file__).parents[2] / "templates/report/audit.html.j2").read_text()
NAMED = "hostname: web\nunprivileged: 1\nlxc.apparmor.profile: {}\n"
GENERATED = "hostname: web\nunprivileged: 1\n"
PENDING_LINE = f"{GENERATED}[pve:pending]\nlxc.apparmor.profile: unconfined\n"
LABEL = "lxc-970_</var/lib/lxc>//&:lxc-970_<-var-lib-lxc>:unconfined (enforce)"
FILE = "phoenix_lxc_configs.json"
ADD = 'add it there: "970": {"apparmor_profile": "generated"}'


def audited(observed, options=None, docker=None, **entries):
    dockers = {970: docker} if docker else {}
    pct = node(observed)
    return audit_node(
        fleet=fleet(**entries),
        options=options or Options(),
        facts=NodeFacts(containers=pct, dockers=dockers),
        plan=NodePlan("pve1"),
    )


def unnamed(conf, label, **changes):
    return container(970, conf, label, **changes)


OPEN = {
    "running": unnamed(GENERATED, "unconfined"),
    "running, complain": unnamed(NAMED.format("lxc-a"), "lxc-a (complain)"),
    "running, unconfined in a namespace": unnamed(GENERATED, ":lxc-a:unconfined (unconfined)"),
    "running, until its next start": unnamed(NAMED.format("unconfined"), LABEL),
    "running, nobody knows how": replace(unnamed(GENERATED, None), running=True),
    "running, from its next start on": unnamed(PENDING_LINE, LABEL),
    "stopped": unnamed(NAMED.format("unconfined"), None),
    "stopped, what waits for its start counts": unnamed(PENDING_LINE, None),
    "stopped, the last line counts": unnamed(
        f"{NAMED.format('lxc-a')}lxc.apparmor.profile = unconfined\r\n", None
    ),
    "stopped, and what it includes may say so": unnamed(
        f"{NAMED.format('lxc-a')}lxc.include: /root/more.conf\n", None
    ),
    "stopped, the label of lxc-start": unnamed(NAMED.format("unchanged"), None),
    "stopped, in a namespace": unnamed(NAMED.format(":lxc-a:unconfined"), None),
    "stopped and locked": unnamed(f"lock: backup\n{NAMED.format('unconfined')}", None),
    "stopped, HA": unnamed(NAMED.format("unconfined"), None, ha="started"),
}
CONFINED = {
    "running": (unnamed(GENERATED, LABEL), "confined"),
    "running, named": (unnamed(NAMED.format("lxc-a"), "lxc-a (enforce)"), "confined"),
    "privileged": (
        unnamed("hostname: web\n", LABEL),
        "confined, but privileged: root in it is root of the node",
    ),
    "stopped": (unnamed(GENERATED, None), "stopped, its conf says generated"),
    "stopped, named": (unnamed(NAMED.format("lxc-a"), None), "stopped, its conf says lxc-a"),
    "stopped, stacked": (
        unnamed(NAMED.format("lxc-a//&:lxc-970_<-var-lib-lxc>:unconfined"), None),
        "stopped, its conf says lxc-a//&:lxc-970_<-var-lib-lxc>:unconfined",
    ),
    "a snapshot says otherwise": (
        unnamed(f"{GENERATED}\n[before]\nlxc.apparmor.profile: unconfined\n", None),
        "stopped, its conf says generated",
    ),
    "template": (
        unnamed(f"template: 1\n{NAMED.format('unconfined')}", None),
        "template; its conf says unconfined, and so will those of its clones",
    ),
}


@pytest.mark.parametrize("observed", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("unmanaged", ["show", "fail"])
def test_an_unconfined_one_is_never_ok_and_its_finding_says_what_to_write(observed, unmanaged):
    found = audited(observed, Options(unmanaged=unmanaged))
    (row,) = found.containers
    assert not row.ok
    assert found.needs_attention
    (said,) = [one for one in found.findings if one.needs_attention]
    assert (said.code, said.severity, said.fix) == (Code.NOT_LISTED, Severity.WARNING, ADD)
    assert row.verdict == said.text
    assert row.verdict.startswith(f"not in {FILE}")
    assert (row.wanted, row.managed) == ("-", False)


@pytest.mark.parametrize(("observed", "how"), CONFINED.values(), ids=CONFINED)
def test_a_confined_one_is_shown_with_how_it_is_and_needs_no_attention(observed, how):
    found = audited(observed)
    (row,) = found.containers
    assert (row.ok, row.verdict) == (True, f"not in {FILE}; {how}")
    assert not found.needs_attention
    assert not row.managed


@pytest.mark.parametrize(("observed", "how"), CONFINED.values(), ids=CONFINED)
def test_where_all_shall_be_in_the_file_a_confined_one_is_a_finding_as_well(observed, how):
    found = audited(observed, Options(unmanaged="fail"))
    (said,) = found.findings
    assert (said.code, said.message) == (Code.NOT_LISTED, f"not in {FILE}; {how}")
    assert said.fix.startswith('add it there: "970": {')
    assert found.needs_attention


@pytest.mark.parametrize("observed", OPEN.values(), ids=OPEN)
def test_they_can_be_ignored(observed):
    found = audited(observed, Options(unmanaged="ignore"))
    assert (found.containers, found.findings, found.needs_attention) == ((), (), False)


def test_who_asks_for_some_containers_gets_no_others():
    pct = node(container(), OPEN["stopped"])
    found = audit_node(
        fleet=fleet(),
        options=Options(only=(910,)),
        facts=NodeFacts(containers=pct),
        plan=NodePlan("pve1"),
    )
    assert [one.ctid for one in found.containers] == [910]


def test_the_scope_is_about_what_the_file_names():
    pct = node(container(), container(953), OPEN["stopped"])
    found = audit_node(
        fleet=fleet(ct910={"features": ["docker"]}, ct953={}),
        options=Options(scope="docker"),
        facts=NodeFacts(containers=pct),
        plan=NodePlan("pve1"),
    )
    assert [one.ctid for one in found.containers] == [910, 970]


@pytest.mark.parametrize(
    ("conf", "docker", "entry"),
    [
        (
            GENERATED,
            ObservedDocker("ok", "26.1.5", "overlay2"),
            {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"},
        ),
        (GENERATED, ObservedDocker("none"), {"apparmor_profile": "generated"}),
        (GENERATED, ObservedDocker("hung"), {"apparmor_profile": "generated"}),
        # harden refuses a named profile for it
        ("hostname: web\n", ObservedDocker("ok"), {"apparmor_profile": "generated"}),
    ],
)
def test_what_to_write_loads_as_it_stands_and_confines_what_is_there(conf, docker, entry):
    (said,) = audited(unnamed(conf, "unconfined"), docker=docker).findings
    written = json.loads(f"{{{said.fix.partition(': ')[2]}}}")
    assert written == {"970": entry}
    named = parse_fleet(json.dumps({"lxc_configs": written}).encode()).containers[970]
    pct = node(unnamed(conf, "unconfined"))
    (change,) = plan(pct, installed(), ct970=entry).containers
    assert change.label.profile != "unconfined"
    assert named.profile == entry["apparmor_profile"]


def test_terminal_json_and_page_show_them():
    pct = node(container(), OPEN["stopped"], container(971, GENERATED, LABEL))
    found = audit_node(
        fleet=fleet(),
        options=Options(unmanaged="show"),
        facts=NodeFacts(containers=pct),
        plan=plan(pct),
    )
    lines = [*audit_lines([found])]
    (stopped,) = [line for line in lines if line.startswith("970 ")]
    assert stopped.split() == f"970 web - - - !! {found.containers[1].verdict}".split()
    (runs,) = [line for line in lines if line.startswith("971 ")]
    assert f"ok  not in {FILE}; confined" in runs
    assert "3 containers, 2 need attention; so does pve1" in lines
    now = datetime(2026, 11, 22, tzinfo=UTC)
    data = audit_data([NodeReport(found, ObservedDenials())], FILE, now)
    (of_node,) = data["nodes"]
    assert [(one["ctid"], one["managed"], one["ok"]) for one in of_node["containers"]] == [
        (910, True, False),
        (970, False, False),
        (971, False, True),
    ]
    assert [one["ctid"] for one in of_node["findings"] if one["code"] == "not-listed"] == [970]
    page = audit_page(data, PAGE)
    assert f"not in {FILE}; stopped, its conf says unconfined: add it there" in page
    assert f"not in {FILE}; confined" in page


@pytest.mark.parametrize(
    "value", ["unconfined", "unchanged", ":ns:unconfined", "unconfined//&:a:b"]
)
def test_a_conf_that_confines_nothing_is_known(value):
    assert says_open(PveConf.parse(NAMED.format(value))) == value


@pytest.mark.parametrize("value", ["generated", "lxc-a", "lxc-unconfined", "lxc-a//&:b:unconfined"])
def test_a_conf_that_confines_is_known(value):
    assert says_open(PveConf.parse(NAMED.format(value))) == ""
