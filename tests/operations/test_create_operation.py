"""Making a container, taking up one that was cut short, destroying one: which commands."""

import json

import pytest
from node_command import readable
from pyinfra.api import OperationValueError
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from operations import create, rollback
from phoenix.apparmor.observed import Label
from phoenix.docker.install import Install
from phoenix.plan.actions import ContainerChange, Destruction
from phoenix.plan.creation import Creation, Dataset
from phoenix.pve.conf import PveConf

RUN = "r20261128T013000Z-beef"
LATER = "r20261128T023000Z-beef"
PROGRAM = f"/usr/bin/python3 -I /var/lib/phoenix-harden/runs/{RUN}/node.pyz"
BEFORE = PveConf("hostname: web\n")
AFTER = PveConf("hostname: web\nlxc.apparmor.profile: lxc-docker-nested\n")


def creation(ctid=970):
    return Creation(
        change=ContainerChange(
            ctid=ctid,
            name="web",
            before=BEFORE,
            after=AFTER,
            label=Label("lxc-docker-nested", "enforce"),
            restart=True,
            docker=True,
            reasons=(),
        ),
        pct=(("create", str(ctid), "local:vztmpl/a", "--hostname", "$(reboot)"),),
        datasets=(Dataset("tank/web", 1024, (100000, 100000)),),
        install=Install(),
    )


@pytest.fixture
def commands():
    """The commands of an operation, outside a run."""

    def run(operation, **arguments):
        state = FakeState()
        with ctx_state.use(state), ctx_host.use(create_host(state)):
            return list(operation._inner(**arguments))

    return run


def test_a_container_is_staged_and_then_made_by_one_unit_that_outlives_the_operator(commands):
    stage, make = commands(create.container, run=RUN, ctid=970, creation=creation())
    assert readable(stage.get_raw_value()) == f"NODE stage {RUN}"
    words = make.get_raw_value()
    assert f"--unit=phoenix-harden-{RUN}-970 " in words
    assert "'--description=phoenix-harden: create CT 970'" in words
    assert f"'--property=ExecStopPost={PROGRAM} recover {RUN} 970 --if-cut'" in words
    assert words.endswith(f" {PROGRAM} create {RUN} 970")
    # as long as the node itself has
    assert make.connector_arguments["_timeout"] == 4 * 3600


def test_what_it_is_made_of_travels_as_data_and_never_in_a_command(commands):
    stage, make = commands(create.container, run=RUN, ctid=970, creation=creation())
    request = json.loads(stage.connector_arguments["_stdin"])
    files = request["containers"]["970"]
    assert request["replace"] == [970]
    assert (files["conf"], files["before"]) == (AFTER.text, BEFORE.sha256)
    assert {"label", "docker", "restart"} <= set(files)
    asked = json.loads(files["create.json"])
    assert asked["pct"] == [["create", "970", "local:vztmpl/a", "--hostname", "$(reboot)"]]
    assert asked["raw"] == [["lxc.apparmor.profile", "lxc-docker-nested"]]
    assert asked["datasets"] == [{"name": "tank/web", "quota": 1024, "owner": [100000, 100000]}]
    assert "reboot" not in stage.get_raw_value() + make.get_raw_value()


def test_one_that_was_cut_short_is_taken_away_first_and_then_made(commands):
    asked = {"undecided": RUN, "run": LATER, "ctid": 970, "again": creation}
    taken, stage, make = commands(create.recover, **asked)
    assert readable(taken.get_raw_value()).endswith(f"NODE recover {RUN} 970")
    assert readable(stage.get_raw_value()) == f"NODE stage {LATER}"
    assert make.get_raw_value().endswith(f" create {LATER} 970")


def test_one_that_there_is_nothing_to_make_of_is_only_recovered(commands):
    found = commands(create.recover, undecided=RUN, run=LATER, ctid=970, again=lambda ctid: None)
    assert len(found) == 1


@pytest.mark.parametrize("ctid", [99, True, "970; reboot"])
def test_what_is_no_ctid_reaches_no_shell(commands, ctid):
    with pytest.raises(OperationValueError, match="is not a CTID"):
        commands(create.container, run=RUN, ctid=ctid, creation=creation())


def test_one_that_goes_is_destroyed_by_a_unit_with_the_conf_that_it_must_have(commands):
    change = Destruction(970, "web", AFTER, running=True)
    stage, destroy = commands(rollback.destroy, run=RUN, ctid=970, change=change)
    files = json.loads(stage.connector_arguments["_stdin"])["containers"]["970"]
    assert files == {"conf": "", "destroy": "", "before": AFTER.sha256}
    assert destroy.get_raw_value().endswith(f" {PROGRAM} destroy {RUN} 970")
    assert f"ExecStopPost={PROGRAM} recover {RUN} 970 --if-cut" in destroy.get_raw_value()
