"""Docker for containers that the fleet file says have it and that have none."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from plan_cases import CONF, DOCKER, ENFORCED, TEMPLATES, container, hardened, installed, node

from phoenix.apparmor.observed import Label
from phoenix.docker.install import Install, Repository
from phoenix.docker.observed import DaemonFile, Engine, ObservedDocker
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.fallbacks import check_backups, check_snapshots
from phoenix.plan.findings import Code, Severity
from phoenix.plan.node import plan_node, without_containers
from phoenix.plan.options import Options
from phoenix.pve.backups import ObservedBackups, RequiredBackup
from phoenix.report.plan import plan_data
from phoenix.report.terminal import audit_lines, plan_lines

NONE = ObservedDocker("none", os="debian 13", manager="apt")
FUSED = hardened(CONF.replace("nesting=1", "nesting=1,fuse=1", 1))
RIGHT = container(conf=FUSED, label=ENFORCED)
FUSE = {"pct_options": ["nesting=1", "keyctl=1", "fuse=1"]}
CUT = ObservedDocker("dead", version="26.1.5", os="debian 13", manager="apt", error="no socket")


def facts(docker, observed):
    dockers = {910: docker} if docker else {}
    return NodeFacts(containers=node(observed), apparmor=installed(), dockers=dockers)


def plan(docker=NONE, observed=RIGHT, install=True, options=None, **entry):
    configs = {"910": {**DOCKER, **entry}}
    return plan_node(
        fleet=parse_fleet(json.dumps({"lxc_configs": configs}).encode()),
        options=Options(install=install, **(options or {})),
        facts=facts(docker, observed),
        templates=TEMPLATES,
    )


def missing(planned):
    return [one for one in planned.findings if one.code == Code.DOCKER_MISSING]


def test_without_the_key_it_is_a_finding_that_names_it():
    planned = plan(install=False, **FUSE)
    (found,) = missing(planned)
    assert (found.severity, found.ctid) == (Severity.NOTE, 910)
    assert "lists docker, but Docker is not installed" in found.message
    assert "--data install=true" in found.fix
    assert planned.empty


def test_with_the_key_it_is_installed_from_its_distribution_and_that_is_the_whole_plan():
    planned = plan(**FUSE)
    (new,) = planned.installs
    assert (new.ctid, new.name, new.install) == (910, "portainer", Install())
    assert (new.label, new.architecture) == (Label("lxc-docker-nested", "enforce"), "amd64")
    assert (planned.containers, planned.actions, missing(planned)) == ((), (new,), [])


def test_it_is_said_in_the_plans_lines_and_in_its_file():
    planned = plan(**FUSE)
    line = "Docker: installed from its distribution's packages, on fuse-overlayfs"
    assert [*plan_lines(planned)] == [f"pve1: CT 910 portainer: {line}"]
    data = plan_data([planned], "r20261122T013000Z-beef", "harden", datetime.now(UTC))
    assert data["nodes"][0]["actions"] == [
        {
            "action": "install-docker",
            "ctid": 910,
            "name": "portainer",
            "reasons": [{"why": "install", "text": line}],
            "label": ENFORCED,
            "source": "distro",
            "driver": "fuse-overlayfs",
            "repository": None,
            "architecture": "amd64",
        }
    ]


def test_of_a_repository_the_file_has_address_and_fingerprint_and_not_the_key():
    repo = Repository("https://example.org/docker", "a key", "A" * 40)
    new = plan(**FUSE).installs[0]
    install = Install("docker-ce", "overlay2", repo)
    planned = replace(plan(), installs=(replace(new, install=install),))
    text = json.dumps(plan_data([planned], "r20261122T013000Z-beef", "harden", datetime.now(UTC)))
    assert repo.url in text
    assert repo.fingerprint in text
    assert repo.key not in text


def test_a_container_that_is_not_confined_yet_is_so_first_and_gets_what_fuse_overlayfs_needs():
    planned = plan(observed=container())
    (change,) = planned.containers
    assert change.after.main["features"] == "nesting=1,fuse=1,keyctl=1"
    assert (change.restart, change.docker, change.guest) == (True, False, None)
    assert planned.actions[-2:] == (change, planned.installs[0])


def test_without_the_key_it_gets_no_feature_that_nothing_uses():
    (change,) = plan(observed=container(), install=False).containers
    assert change.after.main["features"] == "nesting=1,keyctl=1"


def test_a_device_that_it_has_already_is_not_asked_for_again():
    there = ObservedDocker("none", manager="apt", dev_fuse=True)
    planned = plan(there, container(conf=hardened(), label=ENFORCED))
    assert (planned.containers, len(planned.installs)) == ((), 1)


def test_what_forbids_fuse_forbids_fuse_overlayfs():
    planned = plan(pct_options=["nesting=1", "keyctl=1", "fuse=0"])
    assert planned.installs == ()
    assert [one.code for one in planned.findings] == [Code.FUSE]


@pytest.mark.parametrize(
    ("wanted", "overlay", "driver"),
    [
        ("keep", None, "fuse-overlayfs"),
        ("overlay2", None, "overlay2"),
        ("auto", True, "overlay2"),
        ("auto", False, "fuse-overlayfs"),
        ("auto", None, "auto"),
    ],
)
def test_its_storage_driver_is_the_fleet_files(wanted, overlay, driver):
    docker = ObservedDocker("none", manager="apt", overlay=overlay)
    (new,) = plan(docker, storage_driver=wanted, **FUSE).installs
    assert new.install.driver == driver


def test_the_second_plan_is_empty():
    docker = ObservedDocker(
        "ok",
        "26.1.5",
        "fuse-overlayfs",
        manager="apt",
        dev_fuse=True,
        fuse_overlayfs=True,
        file=DaemonFile(
            '{"storage-driver": "fuse-overlayfs", "features": {"containerd-snapshotter": false}}'
        ),
    )
    assert plan(docker, **FUSE).empty
    assert plan(docker, pct_options=["nesting=1", "keyctl=1"]).empty
    overlay2 = ObservedDocker("ok", "29.1.0", "overlay2", manager="apt", dev_fuse=True)
    assert plan(overlay2, storage_driver="auto", **FUSE).empty


# --- one that was cut short -----------------------------------------------------------------------


def test_a_docker_that_does_not_answer_and_never_held_anything_is_gone_on_with():
    planned = plan(CUT, **FUSE)
    assert [one.ctid for one in planned.installs] == [910]
    assert not [note for note in planned.notes if "does not answer" in note]


@pytest.mark.parametrize(
    "more",
    [
        {"containers": 1},
        {"volumes": 1},
        {"stores": {"overlay2": 3}},
        {"engines": (Engine("dockerd", 0, "/usr/sbin/dockerd"),)},
    ],
)
def test_one_that_holds_something_or_is_about_to_answer_is_its_owners(more):
    planned = plan(ObservedDocker("dead", version="26.1.5", manager="apt", **more), **FUSE)
    assert planned.installs == ()
    assert "its storage driver is kept" in planned.notes[0]


def test_the_commit_before_does_not_wait_for_a_docker_that_is_not_there_yet():
    (change,) = plan(CUT, container()).containers
    assert not change.docker


# --- where nothing is installed -------------------------------------------------------------------


def test_keep_keeps_it_so_and_says_it():
    planned = plan(docker_source="keep", **FUSE)
    (found,) = missing(planned)
    assert planned.empty
    assert (found.message.rpartition("; ")[2], found.fix) == ("docker_source keep leaves it so", "")


@pytest.mark.parametrize("os", ["nixos 25.11", "arch", ""])
def test_a_guest_whose_package_manager_we_do_not_know_is_a_finding_with_the_reason(os):
    docker = ObservedDocker("none", os=os)
    planned = plan(docker, **FUSE)
    (found,) = missing(planned)
    assert (found.severity, planned.installs) == (Severity.WARNING, ())
    assert f"its guest ({os or 'of an unknown kind'}) has neither apt, apk nor dnf" in found.message
    named = plan(docker, options={"only": (910,)}, **FUSE)
    assert "has neither apt, apk nor dnf" in named.problems[0]


def test_it_is_confined_all_the_same():
    planned = plan(ObservedDocker("none", os="arch"), container())
    assert [one.ctid for one in planned.containers] == [910]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"storage-driver": "overlay2"}', "says another storage-driver than fuse-overlayfs"),
        ('{"features": {"containerd-snapshotter": true}}', "says features.containerd-snapshotter"),
        ("# no", "line 1, column 1"),
    ],
)
def test_a_daemon_json_that_stands_against_it_is_a_finding(text, says):
    planned = plan(ObservedDocker("none", manager="apt", file=DaemonFile(text)), **FUSE)
    assert planned.installs == ()
    assert says in missing(planned)[0].message


def test_docker_ce_has_no_packages_for_alpine():
    planned = plan(ObservedDocker("none", manager="apk"), docker_source="docker-ce", **FUSE)
    assert 'write "docker_source": "distro"' in missing(planned)[0].message


def test_restart_never_installs_nothing_and_says_what_waits():
    planned = plan(options={"restart": "never"}, **FUSE)
    assert planned.installs == ()
    (found,) = (one for one in planned.findings if one.code == Code.RESTART_DUE)
    assert "Docker is not installed: that waits for a run that may restart" in found.message


def test_a_stopped_container_is_a_note():
    planned = plan(ObservedDocker("stopped"), container(conf=FUSED, label=None), **FUSE)
    assert planned.empty
    assert planned.notes == ("CT 910 portainer: stopped: Docker inside was not checked",)


def test_one_that_is_left_alone_gets_nothing():
    locked = container(conf=f"lock: backup\n{FUSED}", label=ENFORCED)
    assert plan(observed=locked, **FUSE).empty
    ha = container(conf=CONF, ha="started")
    assert plan(observed=ha).empty


def test_one_whose_pending_changes_stand_against_its_restart_gets_nothing():
    conf = CONF.replace("\n[before]", "\n[pve:pending]\nmemory: 1024\n\n[before]")
    planned = plan(observed=container(conf=conf))
    assert (planned.containers, planned.installs) == ((), ())
    assert [one.code for one in planned.findings if one.needs_attention] == [Code.PENDING]


def test_a_container_without_docker_in_its_features_gets_none():
    assert plan(features=[], **FUSE).installs == ()


def test_one_that_is_unconfined_on_request_has_no_label_to_carry():
    (new,) = plan(observed=container(), apparmor_profile="unconfined", **FUSE).installs
    assert new.label is None


def test_a_recipe_without_containers_installs_nothing():
    assert without_containers(plan(**FUSE)).installs == ()


# --- what stands beside it ------------------------------------------------------------------------


def test_a_backup_is_asked_for_before_it_as_before_any_change():
    (found,) = check_backups(plan(**FUSE), ObservedBackups(), RequiredBackup(24, verified=False))
    assert (found.code, found.ctid) == (Code.BACKUP_MISSING, 910)
    assert "vzdump 910 makes one" in found.fix
    line = [*plan_lines(plan(**FUSE), {910: "3 h"})][-1]
    assert line == "pve1: CT 910: backup: 3 h"


def test_a_snapshot_that_its_storage_has_none_of_is_refused_before():
    backups = ObservedBackups(storages={"local": "dir"})
    (found,) = check_snapshots(plan(**FUSE), backups)
    assert (found.code, found.ctid) == (Code.SNAPSHOT_IMPOSSIBLE, 910)


# --- the audit ------------------------------------------------------------------------------------


def test_the_audit_tells_of_it_and_does_not_fail_by_it():
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": {**DOCKER, **FUSE}}}).encode())
    planned = plan(install=False, **FUSE)
    audit = audit_node(fleet=fleet, options=Options(), facts=facts(NONE, RIGHT), plan=planned)
    assert (audit.needs_attention, audit.containers[0].verdict) == (False, "confined")
    assert [line for line in audit_lines([audit]) if "--data install=true" in line]
