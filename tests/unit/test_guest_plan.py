"""What changes inside a container, and what that means for its conf."""

import json
from dataclasses import replace

import pytest
from plan_cases import DOCKER, TEMPLATES, container, hardened, installed, node, said

from phoenix.docker.observed import DaemonFile, Engine, ObservedDocker
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.pve.managed import Managed
from phoenix.report.terminal import plan_lines

FRESH = ObservedDocker("ok", "26.1.5", "overlay2", manager="apt")
USED = replace(FRESH, images=1)
RIGHT = container(conf=hardened(), label="lxc-docker-nested (enforce)")


def plan(docker=FRESH, observed=RIGHT, options=None, **entry):
    configs = {"910": {**DOCKER, **entry}}
    return plan_node(
        fleet=parse_fleet(json.dumps({"lxc_configs": configs}).encode()),
        options=options or Options(),
        facts=NodeFacts(
            containers=node(observed), apparmor=installed(), dockers={910: docker} if docker else {}
        ),
        templates=TEMPLATES,
    )


def test_a_switch_brings_the_file_the_package_and_the_feature_with_one_restart():
    (change,) = plan().containers
    assert change.guest.before is None
    assert change.guest.after == '{\n    "storage-driver": "fuse-overlayfs"\n}\n'
    assert change.guest.packages == ("fuse-overlayfs",)
    assert (change.driver, change.driver_before) == ("fuse-overlayfs", "overlay2")
    assert change.after.main["features"] == "nesting=1,keyctl=1,fuse=1"
    assert change.restart
    assert said(change) == (
        "features: fuse=1",
        "storage driver: overlay2 becomes fuse-overlayfs",
        "package fuse-overlayfs",
    )
    assert change.managed.daemon == {"storage-driver": "fuse-overlayfs"}


def test_where_the_conf_is_right_only_docker_restarts():
    observed = replace(RIGHT, conf=replace(RIGHT.conf).set_key("features", "nesting=1,fuse=1"))
    docker = replace(FRESH, dev_fuse=True, fuse_overlayfs=True)
    result = plan(docker, observed, pct_options=["nesting=1", "fuse=1"])
    (change,) = result.containers
    assert (change.after == change.before, change.restart) == (True, False)
    assert list(plan_lines(result))[-1].split()[3] == "Docker"


def test_the_second_plan_is_empty_and_keeps_the_feature():
    (change,) = plan().containers
    after = replace(RIGHT, conf=change.after, managed=change.managed.render())
    docker = replace(
        FRESH, driver="fuse-overlayfs", dev_fuse=True, file=DaemonFile(change.guest.after)
    )
    assert plan(docker, after).empty
    # nor is it taken away while nothing is known of its Docker
    assert plan(None, after).empty


def test_a_feature_of_ours_goes_when_docker_needs_it_no_longer():
    managed = Managed(features={"fuse": "1"}).render()
    observed = replace(RIGHT, conf=RIGHT.conf.set_key("features", "nesting=1,keyctl=1,fuse=1"))
    (change,) = plan(USED, replace(observed, managed=managed)).containers
    assert said(change)[0].startswith("features: no fuse any more")


def test_a_driver_that_runs_without_dev_fuse_gets_the_feature():
    (change,) = plan(replace(USED, driver="fuse-overlayfs")).containers
    assert change.guest is None
    assert change.after.main["features"] == "nesting=1,keyctl=1,fuse=1"


def test_a_fleet_file_that_switches_fuse_off_contradicts_fuse_overlayfs():
    result = plan(storage_driver="fuse-overlayfs", pct_options=["nesting=1", "fuse=0"])
    assert result.alone == {
        910: "left alone: fuse-overlayfs needs fuse=1, and pct_options says fuse=0"
    }


def test_every_restart_is_proven_with_the_driver_that_runs():
    (change,) = plan(USED, container()).containers
    assert (change.guest, change.driver, change.driver_before) == (None, "overlay2", "overlay2")


def test_a_driver_that_would_hide_what_the_guest_has_leaves_that_container_alone():
    result = plan(USED, container(), storage_driver="fuse-overlayfs")
    assert (result.containers, result.problems) == ((), ())
    assert result.alone[910].startswith(
        "left alone: storage_driver fuse-overlayfs: Docker runs on overlay2"
    )
    assert result.notes[-1] == f"CT 910 portainer: {result.alone[910]}"


@pytest.mark.parametrize("state", ["ok", "dead"])
def test_a_daemon_json_that_is_none_is_a_finding_of_its_container_alone(state):
    docker = replace(USED, state=state, file=DaemonFile('{\n  // mine\n  "debug": true\n}\n'))
    why = (
        "left alone: /etc/docker/daemon.json: line 2, column 3: JSON has no comments: dockerd will "
        "not start with it: correct it in the guest"
    )
    result = plan(docker)
    assert (result.problems, result.containers, result.alone) == ((), (), {910: why})
    assert result.notes[-1] == f"CT 910 portainer: {why}"
    # who names it wants to hear of it
    (problem,) = plan(docker, options=Options(only=(910,))).problems
    assert problem == f"pve1: CT 910 portainer: {why}"


def test_restart_never_leaves_the_driver_for_a_run_that_may_restart():
    result = plan(options=Options(restart="never"))
    assert [change.guest for change in result.containers] == [None]
    assert (
        "CT 910 portainer: storage driver: overlay2 becomes fuse-overlayfs: waits for a run that "
        "may restart (restart=never)" in result.notes
    )


@pytest.mark.parametrize(
    ("docker", "note"),
    [
        (ObservedDocker("hung"), "its guest gave no answer in time"),
        (ObservedDocker("noshell"), "its guest has no shell to ask Docker with"),
        (ObservedDocker("failed", error="no"), "its guest cannot be entered (no)"),
        (ObservedDocker("flooded"), "its guest says more than anybody reads"),
    ],
)
def test_a_guest_that_cannot_be_asked_is_left_alone(docker, note):
    result = plan(docker, container())
    assert result.empty
    assert note in result.notes[-1]
    assert note in plan(docker, container(), options=Options(only=(910,))).problems[-1]


def test_a_program_of_its_own_that_is_listed_with_docker_is_left_alone_and_never_asked():
    result = plan(ObservedDocker("application"), container())
    assert result.empty
    (note,) = result.notes
    assert "an application container (entrypoint), in which nothing is asked, and the" in note
    assert 'without "docker" in its features it is confined, and proven from the node' in note
    (change,) = plan(
        ObservedDocker("application"), container(), Options(force=("engine",))
    ).containers
    assert (change.docker, change.guest, change.restart) == (False, None, True)


def test_a_storage_driver_that_is_none_does_not_become_what_docker_must_say():
    # an own daemon.json may name anything; dockerd has not read it yet
    text = json.dumps({"storage-driver": 'x"}\n{\x1b[2J'})
    result = plan(replace(FRESH, file=DaemonFile(text)), container(), storage_driver="keep")
    assert (result.containers[0].driver, result.problems) == ("", ())
    known = replace(FRESH, file=DaemonFile('{"storage-driver": "vfs"}'))
    assert plan(known, container(), storage_driver="keep").containers[0].driver == "vfs"


def test_a_guest_without_docker_is_confined_and_nothing_is_proven():
    result = plan(ObservedDocker("none"), container())
    (change,) = result.containers
    assert (change.docker, change.driver) == (False, "")
    assert "lists docker, but Docker is not installed" in result.notes[-1]


ROOTLESS = Engine("dockerd", 1000, "/usr/bin/dockerd")


@pytest.mark.parametrize(
    ("docker", "engine"),
    [
        (
            ObservedDocker("elsewhere", engines=(Engine("conmon", 0, "/usr/bin/conmon"),)),
            "podman (/usr/bin/conmon)",
        ),
        (
            ObservedDocker("elsewhere", engines=(Engine("dockerd", 0, "/snap/docker/1/dockerd"),)),
            "Docker (/snap/docker/1/dockerd)",
        ),
        (ObservedDocker("dead", engines=(ROOTLESS,)), "Docker (/usr/bin/dockerd of uid 1000)"),
    ],
)
def test_containers_that_something_else_runs_leave_their_guest_alone(docker, engine):
    result = plan(docker, container())
    assert result.empty
    assert f"its containers are run by {engine}" in result.notes[-1]
    (change,) = plan(docker, container(), options=Options(force=True)).containers
    assert not change.docker


def test_a_docker_of_root_that_has_failed_is_no_other_engine():
    engines = (Engine("containerd", 0, "/usr/bin/containerd"), ROOTLESS)
    own = Engine("dockerd", 0, "/usr/bin/dockerd")
    assert ObservedDocker("dead", version="26", engines=engines[:1]).elsewhere == ()
    assert ObservedDocker("dead", engines=(own, ROOTLESS)).elsewhere == ()
    assert ObservedDocker("dead", engines=engines).elsewhere == engines
    # an installed one that is down is to be confined, whatever else runs
    conmon = Engine("conmon", 0, "/usr/bin/conmon")
    assert ObservedDocker("dead", version="26", engines=(conmon,)).elsewhere == ()
    assert ObservedDocker("dead", version="26", engines=(conmon, ROOTLESS)).elsewhere == (ROOTLESS,)


def test_what_a_guest_calls_its_engine_is_short_and_printable():
    docker = ObservedDocker("elsewhere", engines=(Engine("crio", 0, f"/{'x' * 900}"),) * 40)
    assert len(str(docker)) < 400


def test_a_dead_docker_is_said_and_the_container_confined():
    result = plan(ObservedDocker("dead", error="no socket"), container())
    assert result.containers[0].docker
    assert "its Docker does not answer (no socket)" in result.notes[-1]


def test_a_stopped_container_keeps_its_docker_with_a_note():
    result = plan(None, container(label=None))
    assert result.containers[0].guest is None
    assert result.notes == ("CT 910 portainer: stopped: Docker inside was not checked",)


def test_what_is_ours_is_read_from_older_notes_too():
    assert Managed.parse('{"features": {"fuse": "1"}, "raw": [], "devices": []}') == Managed(
        features={"fuse": "1"}
    )
    both = Managed(daemon={"storage-driver": "overlay2", "features.containerd-snapshotter": False})
    assert Managed.parse(both.render()) == both
