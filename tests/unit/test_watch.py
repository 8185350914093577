"""What changes of a node's watch."""

import json

import pytest

from phoenix.fleet.parse import parse_fleet
from phoenix.plan.options import Options
from phoenix.plan.watch import plan_watch, wanted_text
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER, WANTED, ObservedWatch

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
TEXTS = {SCRIPT: "script", SERVICE: "service", TIMER: "timer"}
LABELS = "910 lxc-docker-nested (enforce)\n"
STACK = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
THERE = {**TEXTS, WANTED: LABELS}


def node(*ctids, wanted=None):
    containers = {
        ctid: ObservedContainer(ctid, PveConf(""), False, None, None, None, "pve1")
        for ctid in ctids
    }
    return ObservedPct("pve1", containers, wanted=wanted)


def wanted(options=None, ctids=(910, 952, 953), **fleet):
    entries = {ctid.removeprefix("ct"): entry for ctid, entry in fleet.items()}
    text = json.dumps({"lxc_configs": entries}).encode()
    return wanted_text(parse_fleet(text), options or Options(), node(*ctids))


def plan(asked, observed=None, labels=LABELS, pct=None):
    return plan_watch(asked, labels, pct or node(), observed or ObservedWatch(), TEXTS)


def test_each_form_of_a_profile_is_watched_by_its_own_label():
    stacked, learning = {**DOCKER, "apparmor_stacking": True}, {**DOCKER, "mode": "complain"}
    assert wanted(ct910=stacked, ct952=learning, ctids=(910, 952)) == (
        f"910 {STACK}\n952 lxc-docker-nested-complain (complain)\n"
    )
    asked = Options(only=(910,), stacking=True)
    assert wanted(asked, ct910=DOCKER, ct952=DOCKER, ctids=(910, 952)) == (
        f"910 {STACK}\n952 lxc-docker-nested (enforce)\n"
    )


def test_each_container_of_the_file_on_the_node_has_its_label_and_the_unconfined_none():
    assert wanted(
        ct953={"apparmor_profile": "generated"},
        ct910=DOCKER,
        ct952={"apparmor_profile": "unconfined"},
        ct999=DOCKER,
    ) == ("910 lxc-docker-nested (enforce)\n953 lxc-953_</var/lib/lxc> (enforce)\n")


def test_the_profile_of_the_command_line_counts_for_the_selected_ones_only():
    options = Options(only=(910,), profile="lxc-mine")
    assert wanted(options, ct910=DOCKER, ct952=DOCKER) == (
        "910 lxc-mine (enforce)\n952 lxc-docker-nested (enforce)\n"
    )


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
