"""What an audit finds on one node."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from phoenix.apparmor.observed import HOOK, MARKER, ObservedAppArmor
from phoenix.apparmor.tunables import Broken
from phoenix.docker.fallen import Fallen, Thing
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Fleet
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import ContainerChange, NodePlan, WatchChange
from phoenix.plan.audit import NodeAudit, audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.profiles import OwnFileChange, ProfileChange
from phoenix.plan.site_tunables import PATH as SITE
from phoenix.plan.site_tunables import SiteTunablesChange
from phoenix.plan.tunables import TunablesChange
from phoenix.pve.conf import PveConf
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.report.terminal import audit_lines
from phoenix.runs.files import Interrupted

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
LEARN = "complain"
STACKED = {**DOCKER, "apparmor_stacking": True}
CONF = "hostname: portainer\nunprivileged: 1\n"
ENFORCED = "lxc-docker-nested (enforce)"
NS = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"
OK = ObservedDocker("ok", "26.1.5", "overlay2")


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


NAMED = f"{CONF}lxc.apparmor.profile: lxc-docker-nested\n"
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
        f"fell out of confinement, as after a rollback or restore: {why}: "
        "pyinfra inventory.py deploys/harden.py --data only=910"
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


def audit(plan, observed=None, fallen=None):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": DOCKER}}).encode())
    pct = ObservedPct("pve1", {910: observed or container()})
    return audit_node(
        fleet=fleet,
        options=Options(),
        facts=NodeFacts(containers=pct, dockers={910: OK}, fallen=fallen or {}),
        plan=plan,
    )


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
    assert said[-1].startswith("drift is put right by pyinfra inventory.py deploys/harden.py")


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
        "run r1 was interrupted there: pyinfra inventory.py deploys/harden.py --data only=910 "
        "recovers it"
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
    text = (Path(__file__).parents[2] / "docs/findings.md").read_text()
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


def held(conf="", label=None, ha=None, entry=DOCKER, **options):
    """What the plan of a node and its audit make of one container that no run may touch."""
    observed = ObservedContainer(
        910, PveConf(f"{CONF}features: nesting=1\n{conf}"), label is not None, 1, label, ha, "pve1"
    )
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": entry}}).encode())
    text = f"{MARKER}\nprofile lxc-docker-nested {{}}\n"
    apparmor = ObservedAppArmor(
        True, (4, 1, 0), ("4.0",), {"lxc-docker-nested": "enforce"}, {"lxc-docker-nested": text}
    )
    pct = ObservedPct("pve1", {910: observed})
    facts = NodeFacts(containers=pct, apparmor=apparmor)
    templates = {"lxc-docker-nested.j2": text.replace(MARKER, "{{ marker }}")}
    chosen = Options(**options)
    plan = plan_node(fleet=fleet, options=chosen, facts=facts, templates=templates)
    return audit_node(fleet=fleet, options=chosen, facts=NodeFacts(containers=pct), plan=plan)


UNCONFINED = "lxc.apparmor.profile: unconfined\n"
RIGHT = "lxc.apparmor.profile: lxc-docker-nested\n"
LOCKED = {"conf": f"lock: backup\n{UNCONFINED}"}
BY_HA = {"conf": UNCONFINED, "ha": "started"}


@pytest.mark.parametrize("how", [LOCKED, BY_HA, {"conf": f"lock: backup\n{UNCONFINED}", "ha": "x"}])
@pytest.mark.parametrize("only", [{}, {"only": (910,)}], ids=["all", "only"])
@pytest.mark.parametrize("entry", [DOCKER, {}], ids=["Docker", "without"])
@pytest.mark.parametrize("label", [None, "unconfined"], ids=["stopped", "running"])
def test_an_unconfined_one_that_is_left_alone_is_never_ok(how, only, entry, label):
    found = held(**how, **only, entry=entry, label=label)
    (row,) = found.containers
    assert not row.ok
    assert found.needs_attention
    said = next(one for one in found.findings if one.code in (Code.LOCKED, Code.HA))
    assert said.needs_attention
    wanted = "lxc-docker-nested" if entry else "generated"
    assert f"still to do: profile: unconfined becomes {wanted}" in said.text
    assert row.verdict.startswith("left alone: ")


@pytest.mark.parametrize(
    ("conf", "ha", "why"),
    [
        ("lock: backup\n", None, "left alone: locked (backup)"),
        ("", "started", "left alone: managed by HA (started), its restart belongs to the cluster"),
    ],
)
def test_one_that_is_left_alone_and_right_is_ok_and_said_to_be_left_alone(conf, ha, why):
    (row,) = held(f"{conf}{RIGHT}", ha=ha).containers
    assert (row.ok, row.verdict) == (True, f"stopped; its conf is right; {why}")
    (row,) = held(f"{conf}{RIGHT}", ENFORCED, ha).containers
    assert (row.ok, row.verdict) == (True, f"confined; {why}")


@pytest.mark.parametrize(
    "how", [{"conf": f"lock: backup\n{RIGHT}"}, {"conf": RIGHT, "ha": "started"}]
)
def test_who_names_one_that_is_confined_and_left_alone_passes(how):
    found = held(**how, label=ENFORCED, only=(910,))
    assert found.containers[0].ok
    assert not found.needs_attention


def test_one_that_is_confined_and_waits_for_something_else_is_left_alone():
    entry = {**DOCKER, "pct_options": ["nesting=1", "keyctl=1"]}
    found = held(f"lock: backup\n{RIGHT}", ENFORCED, entry=entry)
    assert not found.containers[0].ok
    assert found.containers[0].verdict == (
        "left alone: locked (backup); still to do: features: keyctl=1: run again when the lock is "
        "gone"
    )


def test_a_template_says_what_its_clones_will_have():
    (row,) = held(f"template: 1\n{UNCONFINED}").containers
    assert row.ok
    assert row.verdict == "template; its conf says unconfined, and so will those of its clones"
    (row,) = held(f"template: 1\n{RIGHT}").containers
    assert (row.ok, row.verdict) == (True, "template")


def test_a_plan_that_has_nothing_for_it_does_not_make_an_unconfined_one_right():
    found = finding(container(None, f"{CONF}{UNCONFINED}"), docker=None)
    assert (found.ok, found.verdict) == (False, "stopped, its conf says unconfined")


@pytest.mark.parametrize("said", ["unconfined", "unchanged"])
def test_one_that_is_confined_until_its_restart_is_not_ok_though_the_file_asks_for_that(said):
    conf = f"{CONF}lxc.apparmor.profile: {said}\n"
    entry = {"apparmor_profile": "unconfined"}
    found = finding(container("lxc-a (enforce)", conf), entry, docker=None)
    assert [one.code for one in found.findings if one.needs_attention] == [Code.UNCONFINED]
    assert found.verdict.startswith(
        f"confined until it is restarted: its conf says {said}, as the fleet file asks: phoenix"
    )
    kept = finding(
        container("lxc-a (enforce)", f"{CONF}lxc.apparmor.profile: lxc-a\n"), entry, docker=None
    )
    assert kept.ok


def test_one_that_includes_a_file_is_not_taken_for_right_before_it_runs():
    conf = f"{NAMED}lxc.include: /root/more.conf\n"
    found = finding(container(None, conf), docker=None)
    assert (found.ok, found.verdict) == (
        False,
        "stopped, its conf includes /root/more.conf, which may name another profile",
    )
    assert finding(container("lxc-docker-nested (enforce)", conf), docker=None).ok


def test_one_that_runs_and_shows_no_label_is_not_taken_for_stopped():
    found = finding(replace(container(None), running=True), docker=None)
    assert (found.ok, found.verdict) == (False, "runs, and its label cannot be read")


def test_nothing_that_is_stopped_is_right_on_a_node_without_apparmor():
    off = Finding(Code.APPARMOR_UNUSABLE, Severity.ERROR, "AppArmor is off")
    found = audit(NodePlan("pve1", findings=(off,)), container(None, NAMED))
    assert not found.containers[0].ok
    assert found.containers[0].verdict == "stopped, and would start without AppArmor"
    pct = ObservedPct("pve1", {911: replace(container(None, NAMED), ctid=911)})
    (unlisted,) = audit_node(
        fleet=Fleet({}),
        options=Options(),
        facts=NodeFacts(containers=pct),
        plan=NodePlan("pve1", findings=(off,)),
    ).containers
    assert not unlisted.ok
    assert "; stopped, and would start without AppArmor: add" in unlisted.verdict


def test_a_node_that_needs_attention_is_named_beside_its_containers():
    plan = NodePlan("pve1", watch=WatchChange("keep"))
    assert "1 container, 0 need attention; so does pve1" in [*audit_lines([audit(plan)])]


@pytest.mark.parametrize("state", ["noshell", "application"])
def test_a_guest_without_a_shell_that_nobody_lists_with_docker_is_confined(state):
    entry = {"apparmor_profile": "lxc-docker-nested"}
    found = finding(container(), entry, ObservedDocker(state, error="no such file"))
    assert (found.ok, found.verdict) == (True, "confined")
    assert finding(container(), docker=ObservedDocker("noshell")).ok is False


@pytest.mark.parametrize("state", ["dead", "hung", "noshell", "failed", "flooded"])
def test_a_docker_that_nobody_lists_needs_no_attention_and_one_that_is_listed_does(state):
    docker = ObservedDocker(state, error="no such file")
    unlisted = finding(container(), {"apparmor_profile": "lxc-docker-nested"}, docker)
    assert (unlisted.ok, unlisted.verdict) == (True, "confined")
    assert unlisted.docker.startswith(state)
    (down,) = finding(container(), docker=docker).findings
    assert (down.code, down.severity) == (Code.DOCKER_DOWN, Severity.WARNING)


def test_a_program_of_its_own_has_no_docker_to_show():
    assert finding(container(), {}, ObservedDocker("application")).docker == "-"


def test_an_idmap_that_reaches_the_root_of_the_node_is_told_and_needs_no_attention():
    conf = f"{CONF}mp0: /tank/media,mp=/media,idmap=passthrough\n"
    found = finding(container(conf=conf))
    assert found.ok
    (one,) = found.findings
    assert (one.code, one.severity) == (Code.IDMAP, Severity.NOTE)
    assert one.fix == "name an idmap without the disk's 0 (pct set 910 --mp0)"
