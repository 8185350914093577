"""What changes of a node's watch."""

import json

import pytest

from phoenix.apparmor.observed import (
    ABI,
    ABI_OURS,
    HOOK,
    MARKER,
    TUNABLES_SITE,
    ObservedAppArmor,
)
from phoenix.docker.daemon_json import digest
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.options import Options
from phoenix.plan.profiles import OwnFileChange, ProfileChange
from phoenix.plan.reasons import Reason, Why
from phoenix.plan.watch import plan_watch, wanted_text
from phoenix.pve.conf import PveConf
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.raw_keys import RawKey
from phoenix.runs.files import Interrupted
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER, WANTED, ObservedWatch

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
TEXTS = {SCRIPT: "script", SERVICE: "service", TIMER: "timer"}
LABELS = "910 lxc-docker-nested (enforce)\n"
STACK = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
THERE = {**TEXTS, WANTED: LABELS}
SHA = 64 * "a"


def node(*ctids, wanted=None, managed=None, conf=""):
    containers = {
        ctid: ObservedContainer(
            ctid, PveConf(conf), False, None, None, None, "pve1", managed=(managed or {}).get(ctid)
        )
        for ctid in ctids
    }
    return ObservedPct("pve1", containers, wanted=wanted)


def lines(pct, options=None, apparmor=None, plan=None, tunables=None, **fleet):
    entries = {ctid.removeprefix("ct"): entry for ctid, entry in fleet.items()}
    text = json.dumps({"lxc_configs": entries, **({"tunables": tunables} if tunables else {})})
    facts = NodeFacts(containers=pct, apparmor=apparmor or ObservedAppArmor())
    said = wanted_text(
        parse_fleet(text.encode()), options or Options(), facts, plan or NodePlan("pve1")
    )
    assert not said or said.endswith("\n")
    return said.splitlines()


def labels(options=None, ctids=(910, 952, 953), **fleet):
    """The lines that are labels."""
    said = lines(node(*ctids), options, **fleet)
    return [line for line in said if line[0].isdigit() and " conf " not in line]


def plan(asked, observed=None, labels=LABELS, pct=None):
    return plan_watch(asked, labels, pct or node(), observed or ObservedWatch(), TEXTS)


def test_each_form_of_a_profile_is_watched_by_its_own_label():
    stacked, learning = {**DOCKER, "apparmor_stacking": True}, {**DOCKER, "mode": "complain"}
    assert labels(ct910=stacked, ct952=learning) == [
        f"910 {STACK}",
        "952 lxc-docker-nested-complain (complain)",
    ]
    asked = Options(only=(910,), stacking=True)
    assert labels(asked, ct910=DOCKER, ct952=DOCKER) == [
        f"910 {STACK}",
        "952 lxc-docker-nested (enforce)",
    ]


def test_each_container_of_the_file_on_the_node_has_its_label_and_the_unconfined_none():
    assert labels(
        ct953={"apparmor_profile": "generated"},
        ct910=DOCKER,
        ct952={"apparmor_profile": "unconfined"},
        ct999=DOCKER,
    ) == ["910 lxc-docker-nested (enforce)", "953 lxc-953_</var/lib/lxc> (enforce)"]


def test_the_profile_of_the_command_line_counts_for_the_selected_ones_only():
    options = Options(only=(910,), profile="lxc-mine")
    assert labels(options, ct910=DOCKER, ct952=DOCKER) == [
        "910 lxc-mine (enforce)",
        "952 lxc-docker-nested (enforce)",
    ]


HAS = "lxc.mount.auto: sys:rw\ndev3: /dev/nvidia0\n"
MANAGED = Managed({"fuse": "1"}, (RawKey("lxc.mount.auto", "sys:rw"),), ("/dev/nvidia0",))


def test_what_runs_of_ours_have_in_a_conf_is_watched_and_nothing_else_of_it():
    conf = f"features: nesting=1,fuse=1\nlxc.cap.drop: sys_time\n{HAS}"
    pct = node(910, 953, managed={910: MANAGED.render()}, conf=conf)
    said = lines(pct, ct910=DOCKER, ct953={"apparmor_profile": "generated"})
    assert [line for line in said if " conf " in line] == [
        "910 conf lxc.apparmor.profile: lxc-docker-nested",
        "910 conf features: fuse=1",
        "910 conf lxc.mount.auto: sys:rw",
        "910 conf dev: /dev/nvidia0",
        "953 conf lxc.apparmor.profile: generated",
    ]


def test_a_conf_is_watched_as_the_run_leaves_it():
    change = ContainerChange(
        ctid=910,
        name="a",
        before=PveConf(""),
        after=PveConf(f"features: fuse=1\n{HAS}"),
        label=None,
        restart=True,
        docker=False,
        reasons=(),
        managed=MANAGED,
    )
    said = lines(node(910), plan=NodePlan("pve1", containers=(change,)), ct910=DOCKER)
    assert {"910 conf features: fuse=1", "910 conf dev: /dev/nvidia0"} <= {*said}


def test_what_the_operator_has_taken_out_of_a_conf_is_not_wanted_of_it_any_more():
    pct = node(910, managed={910: MANAGED.render()}, conf="features: fuse=0\ndev3: /dev/other\n")
    said = lines(pct, ct910=DOCKER)
    assert [line for line in said if " conf " in line] == [
        "910 conf lxc.apparmor.profile: lxc-docker-nested"
    ]


def test_who_writes_no_conf_wants_nothing_new_of_one():
    facts = NodeFacts(containers=node(910, wanted="910 conf dev: /dev/a\n"))
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": DOCKER}}).encode())
    said = wanted_text(fleet, Options(), facts, NodePlan("pve1"), confs=False).splitlines()
    assert [line for line in said if " conf " in line] == ["910 conf dev: /dev/a"]


@pytest.mark.parametrize(
    ("now", "moved"),
    [
        (f"{LABELS}952 lxc-a (enforce)\n952 conf dev: /dev/a\n", True),
        ("", True),
        (LABELS.replace("nested", "other"), False),
    ],
)
def test_containers_that_came_or_left_are_no_drift(now, moved):
    change = plan(None, ObservedWatch(THERE, timer=True), now)
    assert change.moved is moved
    (found,) = NodePlan("pve1", watch=change).drift
    assert found.needs_attention is not moved
    # with a file of ours it is
    assert not plan(None, ObservedWatch({**THERE, SCRIPT: "old"}, timer=True), now).moved


def test_what_a_run_for_others_does_not_look_at_stays_as_it_was_noted():
    before = (
        "910 lxc-docker-nested (enforce)\n910 conf dev: /dev/a\n952 conf dev: /dev/b\n"
        f"profile lxc-docker-nested enforce {SHA}\nprofile lxc-gone enforce {SHA}\n"
    )
    said = lines(node(910, 952, wanted=before), Options(only=(952,)), ct910=DOCKER, ct952=DOCKER)
    assert said == [
        "910 lxc-docker-nested (enforce)",
        "910 conf dev: /dev/a",
        "952 lxc-docker-nested (enforce)",
        "952 conf lxc.apparmor.profile: lxc-docker-nested",
        f"profile lxc-docker-nested enforce {SHA}",
        "tunables",
    ]


@pytest.mark.parametrize("reason", ["alone", "interrupted", "locked"])
def test_what_a_run_leaves_alone_stays_as_it_was_noted(reason):
    pct = node(910, wanted="910 conf dev: /dev/a\n", conf="lock: backup\n" * (reason == "locked"))
    plans = {
        "alone": {"findings": (Finding(Code.GUEST, Severity.WARNING, "why", 910),)},
        "interrupted": {"interrupted": (Interrupted("r20261122T013000Z-beef", 910, False),)},
        "locked": {},
    }
    said = lines(pct, plan=NodePlan("pve1", **plans[reason]), ct910=DOCKER)
    assert [line for line in said if "conf" in line] == ["910 conf dev: /dev/a"]


def test_profiles_and_files_of_ours_are_watched_as_the_run_leaves_them():
    old, new = f"{MARKER}\nold\n", f"{MARKER}\nnew\n"
    stacked = {**DOCKER, "apparmor_stacking": True}
    seen = ObservedAppArmor(
        files={"lxc-docker-nested": old, ABI_OURS: "abi\n", "lxc-docker-nested-ns": old},
        hook="hook\n",
    )
    change = ProfileChange("lxc-docker-nested", old, new, Reason(Why.CHANGED, "changed"))
    hook = OwnFileChange(HOOK, "hook\n", "new hook\n")
    plan = NodePlan("pve1", profiles=(change,), own_files=(hook,))
    said = lines(node(910, 952), apparmor=seen, plan=plan, ct910=DOCKER, ct952=stacked)
    assert said[-5:] == [
        f"profile lxc-docker-nested enforce {digest(new)}",
        f"profile lxc-docker-nested-ns enforce {digest(old)}",
        f"file {ABI} {digest('abi' + chr(10))}",
        f"file {HOOK} {digest('new hook' + chr(10))}",
        "tunables",
    ]


def test_a_profile_that_is_not_ours_is_not_watched():
    seen = ObservedAppArmor(files={"lxc-docker-nested": "profile lxc-docker-nested {}\n"})
    said = lines(node(910), apparmor=seen, ct910=DOCKER)
    assert not any(line.startswith("profile") for line in said)


def test_the_sites_own_tunables_are_watched_while_the_fleet_file_sets_them():
    seen = ObservedAppArmor(files={TUNABLES_SITE: "@{dirs} = /srv/\n"})
    line = f"file /etc/apparmor.d/{TUNABLES_SITE} {digest('@{dirs} = /srv/' + chr(10))}"
    assert line in lines(node(910), apparmor=seen, tunables={"dirs": ["/srv/"]}, ct910=DOCKER)
    assert line not in lines(node(910), apparmor=seen, ct910=DOCKER)


def test_where_nobody_asks_and_none_is_installed_nothing_happens():
    assert plan(None) is None


def test_an_installed_watch_learns_what_is_wanted_now():
    # as the version before wrote it
    old = ObservedWatch({**THERE, WANTED: "910 lxc-docker-nested enforce\n"}, timer=True)
    change = plan(None, old)
    assert (change.timer, [file.path for file in change.files]) == ("keep", [WANTED])
    assert plan(None, ObservedWatch(THERE, timer=True)) is None


@pytest.mark.parametrize(
    ("path", "on", "timer"),
    [(SCRIPT, True, "keep"), (SERVICE, True, "on"), (TIMER, True, "on"), (TIMER, False, "keep")],
)
def test_an_installed_watch_is_brought_up_to_date_and_stays_as_it_is(path, on, timer):
    change = plan(None, ObservedWatch({**THERE, path: "old"}, timer=on))
    assert (change.timer, [file.path for file in change.files]) == (timer, [path])


def test_installing_it_writes_all_files_and_switches_the_timer_on():
    change = plan(True)
    assert change.timer == "on"
    assert {file.path: (file.before, file.after, file.mode) for file in change.files} == {
        SCRIPT: (None, "script", "755"),
        SERVICE: (None, "service", "644"),
        TIMER: (None, "timer", "644"),
        WANTED: (None, LABELS, "600"),
    }


def test_what_is_installed_and_on_changes_nothing():
    assert plan(True, ObservedWatch(THERE, timer=True)) is None


def test_a_timer_that_somebody_switched_off_is_switched_on():
    change = plan(True, ObservedWatch(THERE, timer=False))
    assert (change.timer, change.files) == ("on", ())


@pytest.mark.parametrize(("path", "timer"), [(SCRIPT, "keep"), (SERVICE, "on"), (TIMER, "on")])
def test_another_version_is_replaced_and_systemd_told_of_units_alone(path, timer):
    change = plan(True, ObservedWatch({**THERE, path: "old"}, timer=True))
    assert (change.timer, [file.path for file in change.files]) == (timer, [path])


def test_removing_it_takes_every_file_and_what_is_not_there_costs_nothing():
    change = plan(False, ObservedWatch(THERE, timer=True))
    assert change.timer == "off"
    assert {file.path: file.after for file in change.files} == dict.fromkeys(THERE)
    assert plan(False) is None
