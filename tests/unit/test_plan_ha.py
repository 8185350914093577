"""Containers that HA manages, where the operator says that a run may take them out of its hands."""

import json
from datetime import UTC, datetime

import pytest
from plan_cases import CONF, container, hardened, installed, node, plan

from operations.transaction import staged_files
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options, OptionsError, parse_options
from phoenix.pve.ha import HaService
from phoenix.report.plan import plan_data, plan_json
from phoenix.report.terminal import plan_lines
from phoenix.runs.journal import JournalError, entry, read_journal
from phoenix.runs.record import new_run_id

HA = Options(ha=True)
SETTLED = {"started": "started", "enabled": "started", "stopped": "stopped", "disabled": "stopped"}
RUN = "r20261122T013000Z-beef"


def managed(state, service=None, conf=CONF, **changes):
    label = "unconfined" if SETTLED.get(state, "started") == "started" else None
    service = service or HaService(SETTLED.get(state, "started"), "pve1")
    return node(container(ha=state, service=service, conf=conf, label=label, **changes))


@pytest.mark.parametrize("state", SETTLED)
def test_one_that_ha_manages_and_has_settled_is_planned_like_any_other(state):
    result = plan(managed(state), installed(), options=HA)
    (change,) = result.containers
    assert (change.ha, result.alone) == (state, {})
    assert change.restart == (SETTLED[state] == "started")
    assert "ha" in staged_files(change)
    line = f"pve1: CT 910: ha-manager set ct:910 --state ignored, and back to {state}"
    assert [one for one in plan_lines(result) if "ha-manager" in one] == [line]


@pytest.mark.parametrize("state", [None, "ignored", "disarmed"])
def test_of_one_that_ha_does_not_manage_ha_is_told_nothing(state):
    (change,) = plan(node(container(ha=state)), installed(), options=HA).containers
    assert (change.ha, "ha" in staged_files(change)) == ("", False)


@pytest.mark.parametrize("options", [Options(), Options(ha=False)])
def test_without_the_operators_word_it_is_left_alone_and_that_word_is_named(options):
    result = plan(managed("started"), installed(), options=options)
    assert result.containers == ()
    (found,) = [one for one in result.findings if one.code == Code.HA]
    assert found.fix == (
        "ha-manager set ct:910 --state ignored first, or --data ha=true, which does that and puts "
        "it back"
    )


@pytest.mark.parametrize("only", [(), (910,)])
@pytest.mark.parametrize(
    ("service", "why"),
    [
        (HaService("relocate", "pve1", target="pve2"), "HA is moving it to pve2"),
        (HaService("error", "pve1"), "now in state error"),
        (HaService("started", "pve2"), "HA has it on pve2, and its conf is on pve1"),
        (HaService("started", "pve1", "maintenance"), "HA has pve1 in state maintenance"),
    ],
)
def test_one_that_ha_is_at_work_on_is_left_alone_with_the_next_step(service, why, only):
    result = plan(managed("started", service), installed(), options=Options(ha=True, only=only))
    assert result.containers == ()
    (found,) = [one for one in result.findings if one.code == Code.HA]
    assert why in found.message
    assert "still to do: " in found.message
    assert found.fix == "run again once ha-manager status shows it settled"
    assert found.severity == (Severity.ERROR if only else Severity.WARNING)


def test_one_that_ha_has_not_taken_up_is_left_alone():
    pct = node(container(ha="started"))
    result = plan(pct, installed(), options=HA)
    assert "HA has not taken it up yet" in result.alone[910]


@pytest.mark.parametrize("state", ["frozen", "disarming", "request_stop", "odd"])
def test_a_state_that_no_run_can_put_back_is_left_alone(state):
    assert 910 in plan(managed(state), installed(), options=HA).alone


def test_one_that_is_as_wanted_is_a_matter_of_nobody():
    right = managed("started", conf=hardened())
    (one,) = right.containers.values()
    assert plan(node(one), installed(), options=HA).containers[0].restart
    stopped = managed("stopped", conf=hardened())
    assert plan(stopped, installed(), options=HA).empty


def test_the_file_of_the_plan_says_what_ha_is_asked_for():
    now = datetime(2026, 11, 22, tzinfo=UTC)
    result = plan(managed("started"), installed(), options=HA)
    data = json.loads(plan_json(plan_data([result], new_run_id(now, 1), "harden", now)))
    (step,) = [one for one in data["nodes"][0]["actions"] if one["action"] == "container"]
    assert step["ha"] == "started"


@pytest.mark.parametrize("recipe", ["harden", "rollback"])
def test_harden_and_rollback_take_the_word_and_nothing_but_yes_or_no(recipe):
    assert parse_options({"ha": True}, recipe).ha
    with pytest.raises(OptionsError, match="write true or false"):
        parse_options({"ha": "started"}, recipe)


@pytest.mark.parametrize("recipe", ["audit", "create", "host_prep", "denials"])
def test_recipes_that_restart_nothing_do_not(recipe):
    with pytest.raises(OptionsError, match="belongs to"):
        parse_options({"ha": True}, recipe)


# --- the journal ----------------------------------------------------------------------------------


def journal(*events):
    time = "2026-11-22T01:30:07Z"
    lines = [entry("begin", time=time, format=2)]
    lines += [entry(event, time=time, ctid=910, ha=state) for event, state in events]
    return read_journal(RUN, [*lines, ""])


def test_what_was_not_put_back_is_open_until_it_is():
    assert journal(("intent", "started")).open_containers == (910,)
    held = journal(("intent", "started"), ("held", "started"))
    assert (held.open_containers, held.held_state(910)) == ((910,), "started")
    assert journal(("intent", "started"), ("done", "started")).open_containers == ()


@pytest.mark.parametrize("state", ["ignored", "frozen", "", "started --node pve2", "--help"])
def test_a_journal_names_no_state_but_those_that_ha_has(state):
    with pytest.raises(JournalError):
        entry("intent", time="2026-11-22T01:30:07Z", ctid=910, ha=state)


def test_it_is_nothing_that_a_rollback_would_undo():
    assert journal(("intent", "started")).changes == ()
