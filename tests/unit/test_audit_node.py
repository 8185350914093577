"""What an audit finds on one node."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from audit_cases import CONF, DOCKER, NAMED, OK, audit, container, finding

from phoenix.apparmor.observed import HOOK
from phoenix.apparmor.tunables import Broken
from phoenix.docker.fallen import Fallen, Thing
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import NodePlan, WatchChange
from phoenix.plan.audit import NodeAudit, audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.options import Options
from phoenix.plan.profiles import OwnFileChange, ProfileChange
from phoenix.plan.site_tunables import PATH as SITE
from phoenix.plan.site_tunables import SiteTunablesChange
from phoenix.plan.tunables import TunablesChange
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedPct
from phoenix.report.terminal import audit_lines
from phoenix.runs.files import Interrupted

LEARN = "complain"
STACKED = {**DOCKER, "apparmor_stacking": True}
NS = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"


def test_a_confined_container_with_a_living_docker_is_ok():
    found = finding(container())
    assert (found.ok, found.verdict, found.docker) == (True, "confined", "26.1.5 overlay2")


@pytest.mark.parametrize(
    ("found", "ok", "verdict"),
    [
        (
            finding(container("unconfined"), drift=("profile: a becomes b",)),
            False,
            "drift: profile",
        ),
        (finding(container("lxc-docker-nested (complain)")), False, "runs as lxc-docker-nested (c"),
        (
            finding(container("unconfined"), {**DOCKER, "apparmor_profile": "unconfined"}),
            False,
            "unconfined on request: phoenix adopt",
        ),
        (
            finding(container("unconfined"), entry=None),
            False,
            "not in phoenix_lxc_configs.json: add",
        ),
        (finding(container(), entry=None), True, "not in phoenix_lxc_configs.json"),
        (
            finding(container("lxc-docker-nested-complain (complain)"), {**DOCKER, "mode": LEARN}),
            False,
            "learning: complain mode only logs violations, the container is not confined: run "
            "harden without mode=complain when finished",
        ),
        (
            finding(container(None), {**DOCKER, "mode": LEARN}, docker=None),
            False,
            "learning: complain mode",
        ),
        # also where this audit was not told of --data mode=complain
        (
            finding(container("lxc-docker-nested-complain (complain)"), drift=("profile: a",)),
            False,
            "learning: complain mode",
        ),
        (finding(container(f"{NS} (enforce)"), STACKED), True, "confined"),
        (
            finding(container("lxc-docker-nested-ns (enforce)"), STACKED),
            False,
            f"runs as lxc-docker-nested-ns (enforce), not {NS} (enforce)",
        ),
        (finding(container(f"{NS} (complain)"), STACKED), False, f"runs as {NS} (complain), not"),
        (finding(container(None), docker=None), True, "stopped; its conf is right"),
        (finding(container(None, "template: 1\n"), docker=None), True, "template"),
        (
            finding(container(), docker=ObservedDocker("hung")),
            False,
            "confined, but Docker is hung",
        ),
    ],
)
def test_each_state_has_a_verdict_that_says_what_to_do(found, ok, verdict):
    assert found.ok == ok
    assert found.verdict.startswith(verdict)


def test_a_clone_that_has_the_own_profile_of_another_one_is_a_finding():
    own = {**DOCKER, "apparmor_allows": ["guest-mounts"]}
    fleet = parse_fleet(json.dumps({"lxc_configs": {"952": own}}).encode())
    conf = f"{CONF}lxc.apparmor.profile: lxc-docker-nested-952\n"
    for label in ("lxc-docker-nested-952 (enforce)", None):
        here = {910: container(label, conf)}
        pct = ObservedPct("pve1", here)
        (found,) = audit_node(
            fleet=fleet, options=Options(), facts=NodeFacts(containers=pct), plan=NodePlan("pve1")
        ).containers
        assert (found.ok, found.verdict) == (
            False,
            "under the own profile of CT 952, with all that it grants",
        )
    found = finding(container("lxc-docker-nested-910 (enforce)"), {**DOCKER, "apparmor_own": True})
    assert found.ok


PROVEN = Managed(profile="lxc-docker-nested").render()


@pytest.mark.parametrize(
    ("label", "conf", "why"),
    [
        ("unconfined", f"{CONF}lxc.apparmor.profile: unconfined\n", "its conf says unconfined"),
        (None, CONF, "its conf says generated"),
        ("unconfined", NAMED, "PID 1 runs as unconfined"),
    ],
    ids=["rolled back", "restored and stopped", "profile unloaded"],
)
def test_what_our_run_has_confined_and_is_not_any_more_is_told_apart_from_drift(label, conf, why):
    observed = replace(container(label, conf), managed=PROVEN)
    found = finding(observed, drift=("profile: unconfined becomes lxc-docker-nested",))
    assert not found.ok
    assert found.verdict == (
        f"fell out of confinement, as after a rollback or restore: {why}: phoenix harden --only 910"
    )


def test_a_fleet_file_that_names_another_profile_now_is_drift():
    observed = replace(container(conf=NAMED), managed=PROVEN)
    entry = {**DOCKER, "apparmor_profile": "lxc-phoenix-v2"}
    assert finding(observed, entry, drift=("profile: a becomes b",)).verdict.startswith("drift")


def test_a_stacked_container_has_not_fallen_out():
    label = "lxc-docker-nested//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    conf = NAMED.replace("nested", "nested//&:lxc-910_<-var-lib-lxc>:unconfined")
    assert finding(replace(container(label, conf), managed=PROVEN)).ok


PRIVILEGED = "hostname: portainer\n"
MAPPED = f"{CONF}lxc.idmap: u 0 0 65536\n"


@pytest.mark.parametrize("conf", [PRIVILEGED, MAPPED], ids=["conf", "ids"])
@pytest.mark.parametrize(
    ("label", "entry", "drift"),
    [
        ("lxc-docker-nested (enforce)", DOCKER, ()),
        (f"{NS} (enforce)", STACKED, ()),
        ("unconfined", DOCKER, ("profile: a becomes b",)),
        (None, DOCKER, ()),
    ],
)
def test_a_privileged_container_of_a_named_profile_is_a_finding_whatever_its_label(
    conf, label, entry, drift
):
    found = finding(container(label, conf), entry, drift=drift)
    assert not found.ok
    assert found.verdict.startswith("privileged: root in it is root of the node, which no profile")
    assert "pct restore with --unprivileged 1" in found.verdict


def test_the_generated_profile_of_a_privileged_container_is_not_said_to_hold_it():
    entry = {**DOCKER, "apparmor_profile": "generated"}
    label = "lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    found = finding(container(label, PRIVILEGED), entry)
    assert found.ok
    assert found.verdict == "confined, but privileged: root in it is root of the node"
    stopped = finding(container(None, PRIVILEGED), entry, docker=None)
    assert stopped.verdict.endswith("right, but privileged: root in it is root of the node")


def test_the_table_has_a_column_of_nodes_only_where_there_are_several():
    one = finding(container())
    head, row, total = audit_lines([NodeAudit("pve1", (one,))])
    assert head.split() == ["CTID", "NAME", "WANTED", "LIVE", "LABEL", "DOCKER", "VERDICT"]
    assert "lxc-docker-nested (enforce)  26.1.5 overlay2  ok  confined" in row
    assert total == "1 container, 0 need attention"


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        ("lxc-docker-nested (enforce)", "confined, but its Docker lies; left alone"),
        ("unconfined", "runs as unconfined, not lxc-docker-nested (enforce); its Docker lies; l"),
    ],
)
def test_a_fault_of_a_guest_is_its_containers_finding(label, verdict):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": DOCKER}}).encode())
    lies = Finding(Code.GUEST, Severity.WARNING, "its Docker lies; left alone", 910)
    plan = NodePlan("pve1", findings=(lies,))
    pct = ObservedPct("pve1", {910: container(label)})
    (found,) = audit_node(
        fleet=fleet,
        options=Options(),
        facts=NodeFacts(containers=pct, dockers={910: OK}),
        plan=plan,
    ).containers
    assert not found.ok
    assert found.verdict.startswith(verdict)


@pytest.mark.parametrize("state", ["failed", "flooded"])
def test_a_guest_that_cannot_be_asked_and_that_no_plan_is_about_is_a_finding_too(state):
    found = finding(container(), docker=ObservedDocker(state, error="its Docker lies"))
    assert (found.ok, found.verdict) == (False, "confined, but its Docker lies: look there")


BROKEN = Broken(3, "", "@{HOME}=/root/", "no value")
HOME = "/etc/apparmor.d/tunables/home"


@pytest.mark.parametrize(
    ("plan", "code", "text"),
    [
        (
            NodePlan("pve1", profiles=(ProfileChange("lxc-a", "file,", "# ours", "changed"),)),
            Code.DRIFT_PROFILE,
            "profile lxc-a: changed",
        ),
        (
            NodePlan("pve1", own_files=(OwnFileChange(HOOK, None, "new"),)),
            Code.DRIFT_FILE,
            f"{HOOK}: missing: stacked containers cannot start without it",
        ),
        (
            NodePlan("pve1", site_tunables=SiteTunablesChange(None, "@{a} = /a")),
            Code.DRIFT_TUNABLES,
            f"{SITE}: new",
        ),
        (
            NodePlan("pve1", tunables=TunablesChange("bad", "good", (BROKEN,))),
            Code.DRIFT_TUNABLES,
            f"{HOME} line 3: no value: becomes @{{HOME}}=/root/",
        ),
        (NodePlan("pve1", watch=WatchChange("keep")), Code.DRIFT_WATCH, "watch: updated"),
    ],
    ids=["profile", "file", "site tunables", "tunables", "watch"],
)
def test_whatever_of_the_node_a_run_would_change_is_drift_and_needs_attention(plan, code, text):
    found = audit(plan)
    assert [(one.code, one.text) for one in found.findings] == [(code, text)]
    assert found.needs_attention
    # the container itself is as it should be
    assert found.containers[0].verdict == "confined"
    said = [*audit_lines([found])]
    assert said[0] == f"pve1: {text}"
    assert said[-1].startswith("drift is put right by phoenix harden")


def test_what_stands_against_a_run_needs_attention_where_it_belongs():
    locked = Finding(Code.LOCKED, Severity.ERROR, "locked (backup)", 910, "portainer", "wait")
    found = audit(NodePlan("pve1", findings=(locked,)))
    assert (found.containers[0].ok, found.containers[0].verdict) == (False, "locked (backup): wait")
    assert next(audit_lines([found])) == "pve1: CT 910 portainer: locked (backup): wait"


def test_a_node_that_is_right_has_no_finding():
    found = audit(NodePlan("pve1"))
    assert (found.findings, found.needs_attention) == ((), False)


def test_an_interrupted_run_is_a_finding_of_its_own():
    found = audit(NodePlan("pve1", interrupted=(Interrupted("r1", 910),)))
    assert [one.code for one in found.findings] == [Code.INTERRUPTED]
    assert found.containers[0].verdict == (
        "run r1 was interrupted there: phoenix harden --only 910 recovers it"
    )


def test_what_fell_over_is_told_with_where_its_guest_says_why_and_needs_no_attention():
    things = (
        Thing("container", "web", "is restarting, it was running"),
        Thing("container", "podman:db", "is dead, it was running"),
        Thing("unit", r"mnt-a\x2db.mount", "has failed"),
    )
    fallen = {910: Fallen("r2", things, more=3, why="gave no answer in time")}
    found = audit(NodePlan("pve1"), fallen=fallen)
    assert {one.code for one in found.findings} == {Code.FELL_OVER}
    assert not found.needs_attention
    about = "pve1: CT 910 portainer: fell over since run r2 proved it:"
    assert [*audit_lines([found])][-5:] == [
        f"{about} container web is restarting, it was running: docker logs web",
        f"{about} container podman:db is dead, it was running: podman logs db",
        rf"{about} unit mnt-a\x2db.mount has failed: journalctl -u 'mnt-a\x2db.mount'",
        "pve1: CT 910 portainer: and 3 more that fell over since run r2",
        "pve1: CT 910 portainer: what fell over since run r2 cannot be told: gave no answer in "
        "time",
    ]


def test_each_code_is_explained_and_nothing_else_is():
    text = (Path(__file__).parents[2] / "docs/reference/findings.md").read_text()
    explained = re.findall(r"^\| `([a-z.-]+)` \|", text, re.MULTILINE)
    assert sorted(explained) == sorted(Code)


def test_a_finding_as_json_has_the_codes_and_no_control_character():
    found = Finding(Code.DRIFT, Severity.WARNING, "\x1b[2J", 910, "portainer", "\x9b")
    assert found.to_json() == {
        "code": "drift.container",
        "severity": "warning",
        "scope": "container",
        "ctid": 910,
        "message": "\\x1b[2J",
        "fix": "\\x9b",
    }


def test_a_template_that_has_the_own_profile_of_another_is_a_finding_for_its_clones_inherit_it():
    own = {**DOCKER, "apparmor_allows": ["guest-mounts"]}
    fleet = parse_fleet(json.dumps({"lxc_configs": {"952": own}}).encode())
    conf = f"{CONF}template: 1\nlxc.apparmor.profile: lxc-docker-nested-952\n"
    pct = ObservedPct("pve1", {910: container(None, conf)})
    (found,) = audit_node(
        fleet=fleet, options=Options(), facts=NodeFacts(containers=pct), plan=NodePlan("pve1")
    ).containers
    assert (found.ok, found.verdict[:34]) == (False, "under the own profile of CT 952, w")


def test_what_the_plan_has_said_of_a_privileged_container_is_not_said_again():
    refused = Finding(Code.PRIVILEGED, Severity.ERROR, "lxc-a for a privileged container", 910)
    found = audit(NodePlan("pve1", findings=(refused,)), container("unconfined", PRIVILEGED))
    assert [one.code for one in found.findings].count(Code.PRIVILEGED) == 1


def test_an_idmap_that_reaches_the_root_of_the_node_is_told_and_needs_no_attention():
    conf = f"{CONF}mp0: /tank/media,mp=/media,idmap=passthrough\n"
    found = finding(container(conf=conf))
    assert found.ok
    (one,) = found.findings
    assert (one.code, one.severity) == (Code.IDMAP, Severity.NOTE)
    assert one.fix == "name an idmap without the disk's 0 (pct set 910 --mp0)"
