"""harden and audit on a real kernel: what was unconfined is confined and still runs Docker."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest
from on_node import ENFORCED, REPO, command, conf, denials, hello, pyinfra, state

pytestmark = pytest.mark.lab

FLEETS = REPO / "tests/recordings/fleets"
DOCKERS = (910, 952, 954, 956)
#: They are stopped; 955 is a guest of the stable stack.
STOPPED = (960, 955, 957, 958)


@pytest.fixture(scope="module")
def hardened(lab):
    """The lab from `clean` through one harden run: the node, the run, and its confs before."""
    lab.reset()
    before = {ctid: conf(lab, ctid) for ctid in DOCKERS}
    return lab, pyinfra("harden", "-y"), before


def test_every_docker_container_is_confined_and_proven(hardened):
    node, done, _ = hardened
    assert done.returncode == 0, done.stderr
    assert {ctid: node.label(ctid) for ctid in DOCKERS} == dict.fromkeys(DOCKERS, ENFORCED)
    for ctid in DOCKERS:
        assert f"CT {ctid}: ok PID 1 runs as {ENFORCED}" in done.stderr
        assert f"CT {ctid}: ok a container of our own runs and answers" in done.stderr


def test_they_went_one_after_another_what_others_depend_on_first(hardened):
    node, done, _ = hardened
    there = node.ssh("pct list").stdout
    order = ["953", "952", "954", "956", "910"]
    order += [str(ctid) for ctid in STOPPED if f"\n{ctid} " in there]
    assert re.findall(r"CT (\d+): done", done.stderr) == order
    assert re.findall(r"^(\d+) +\S+ +done$", done.stderr, re.MULTILINE) == order
    places = [f"{place}  {ctid} " for place, ctid in enumerate(order, 1)]
    table = [line for line in done.stderr.splitlines() if line.startswith(tuple(places))]
    assert [line[: len(place)] for line, place in zip(table, places, strict=True)] == places
    assert ["yes" in line for line in table] == [place < 5 for place in range(len(order))]


def test_the_stopped_ones_went_by_one_command(hardened):
    node, done, _ = hardened
    there = node.ssh("pct list").stdout
    swapped = [ctid for ctid in STOPPED if f"\n{ctid} " in there]
    step = f"{len(swapped)} containers of which nothing is restarted"
    assert f"Starting operation: {step}" in done.stderr


def test_what_runs_stands_among_the_nodes_sockets_as_pct_has_it(hardened):
    node, _, _ = hardened
    sockets = node.ssh("grep -o '@/var/lib/lxc/[0-9]*/command$' /proc/net/unix").stdout
    found = {int(ctid) for ctid in re.findall(r"/([0-9]+)/", sockets)}
    states = re.findall(r"^([0-9]+) +running", node.ssh("pct list").stdout, re.MULTILINE)
    assert found == {int(ctid) for ctid in states} >= {*DOCKERS, 953}


@pytest.mark.parametrize("ctid", DOCKERS)
def test_its_own_image_still_runs(hardened, ctid):
    node, _, _ = hardened
    assert hello(node, ctid) == "it works"


def test_the_container_that_ran_always_runs_again(hardened):
    node, _, _ = hardened
    names = node.ssh("lxc-attach -n 910 -- docker ps --format '{{.Names}}' </dev/null").stdout
    assert len(names.split()) == 1


def test_nothing_of_the_proof_is_left_in_the_guest(hardened):
    node, _, _ = hardened
    images = node.ssh("lxc-attach -n 952 -- docker images --format '{{.Repository}}' </dev/null")
    assert images.stdout.split() == ["hello"]


def test_nothing_was_denied_from_the_boot_on(hardened):
    node, _, _ = hardened
    assert denials(node, "lxc-docker-nested") == 0


def test_a_container_without_docker_gets_the_generated_profile(hardened):
    node, _, _ = hardened
    assert node.label(953).startswith("lxc-953_</var/lib/lxc>//&")
    assert node.label(953).endswith(" (enforce)")


def test_snapshot_sections_and_the_description_stay_byte_for_byte(hardened):
    node, _, before = hardened
    head, _, snapshots = before[952].partition("\n[")
    assert snapshots
    now = conf(node, 952)
    assert now.partition("\n[")[2] == snapshots
    comments = [line for line in head.splitlines() if line.startswith("#")]
    assert comments
    assert [line for line in now.splitlines() if line.startswith("#")][: len(comments)] == comments


def test_templates_and_stopped_containers_stay_what_they_are(hardened):
    node, _, _ = hardened
    assert node.ssh("pct status 960").stdout == "status: stopped\n"
    assert "lxc.apparmor.profile: lxc-docker-nested" in conf(node, 960)
    assert "lxc.apparmor.profile: unconfined" in conf(node, 900)


def test_the_before_images_and_the_journal_are_there_for_root_alone(hardened):
    node, _, before = hardened
    runs = node.ssh("find /var/lib/phoenix-harden ! -perm /077 -printf x | wc -c").stdout
    every = node.ssh("find /var/lib/phoenix-harden -printf x | wc -c").stdout
    assert runs == every
    journal = node.ssh("cat /var/lib/phoenix-harden/runs/*/journal.jsonl").stdout
    done = {entry.get("ctid") for line in journal.splitlines() if (entry := json.loads(line))}
    assert done - {*STOPPED} == {None, *DOCKERS, 953}
    assert done > {960, 957, 958}
    kept = node.ssh("cat /var/lib/phoenix-harden/runs/*/files/*").stdout
    assert all(text in kept for text in before.values())


def test_a_second_run_changes_nothing_and_restarts_nothing(hardened):
    node, _, _ = hardened
    before = state(node)
    done = pyinfra("harden", "-y")
    assert done.returncode == 0, done.stderr
    assert "pve-lab: nothing to change" in done.stderr
    assert state(node) == before


def test_the_audit_finds_nothing_any_more(hardened):
    done = pyinfra("audit", "-y", strict="true")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^[0-9]+ containers, 0 need attention$", done.stderr, re.MULTILINE)


def test_dry_shows_profile_features_and_conf_and_changes_nothing(clean_lab):
    before = state(clean_lab)
    done = pyinfra("harden", "--dry")
    assert done.returncode == 0, done.stderr
    for line in (
        "+ profile lxc-docker-nested flags=(attach_disconnected,mediate_deleted) {",
        "+ features: nesting=1,fuse=1,keyctl=1",
        "- lxc.apparmor.profile: unconfined",
        "+ lxc.apparmor.profile: lxc-docker-nested",
    ):
        assert line in done.stderr
    assert state(clean_lab) == before


def test_the_audit_of_an_unhardened_node_fails_when_strict(clean_lab):
    done = pyinfra("audit", "-y", strict="true")
    assert done.returncode == 1
    assert "unconfined" in done.stderr


@pytest.mark.long
def test_a_real_fleet_file_hardens_one_container_and_then_another(clean_lab):
    fleet = FLEETS / "fleet-22.json"
    for ctid in (952, 910):
        done = pyinfra("harden", "-y", fleet=fleet, only=ctid, profile="lxc-docker-nested")
        assert done.returncode == 0, done.stderr
        assert clean_lab.label(ctid) == ENFORCED
        assert hello(clean_lab, ctid) == "it works"
    assert clean_lab.label(954) == "unconfined"


@pytest.mark.long
def test_a_directory_of_the_node_is_mounted_and_docker_binds_from_it(clean_lab, tmp_path):
    # noatime, as on ZFS with atime=off: runc repeats such a flag in a remount of its own
    clean_lab.ssh("mkdir /srv/data && mount -t tmpfs -o noatime,mode=1777 tmpfs /srv/data")
    entry = {
        "features": ["docker"],
        "apparmor_profile": "lxc-docker-nested",
        "mount_points": [
            {"host_path": "/srv/data", "container_path": "/srv/data"},
            {"host_path": "/srv/none", "container_path": "/srv/none"},
        ],
    }
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {"956": entry}}))
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert "mount_points: /srv/none is not on this node: left out" in done.stderr
    write = "docker run --rm --pull never -v /srv/data:/v hello:lab sh -c 'echo kept >/v/file'"
    clean_lab.ssh(f"lxc-attach -n 956 -- {write} </dev/null")
    assert clean_lab.ssh("cat /srv/data/file").stdout == "kept\n"
    assert denials(clean_lab, "lxc-docker-nested") == 0


@pytest.mark.long
def test_a_container_whose_docker_breaks_gets_its_old_conf_back_and_the_run_stops(
    clean_lab, tmp_path
):
    # what starts a container is there with the old conf, and nothing with the new one
    breaks = "lxc.mount.entry=/dev/null usr/bin/containerd-shim-runc-v2 none bind 0 0"
    docker = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
    fleet = tmp_path / "fleet.json"
    entries = {"956": {**docker, "lxc_options": [breaks]}, "952": docker}
    fleet.write_text(json.dumps({"lxc_configs": entries}))
    before = {ctid: conf(clean_lab, ctid) for ctid in (956, 952)}
    pid = clean_lab.ssh("lxc-info -n 952 -pH").stdout

    done = pyinfra("harden", "-y", fleet=fleet)

    assert done.returncode == 1
    assert "CT 956: FAILED a container of our own runs" in done.stderr
    assert "CT 956: restored: the old conf is back" in done.stderr
    assert "Grand total" in done.stderr
    assert re.search(r"^956 .* restored: the old conf is back", done.stderr, re.MULTILINE)
    assert re.search(r"^952 .* not begun$", done.stderr, re.MULTILINE)
    assert {ctid: conf(clean_lab, ctid) for ctid in (956, 952)} == before
    assert clean_lab.label(956) == "unconfined"
    assert hello(clean_lab, 956) == "it works"
    assert clean_lab.ssh("lxc-info -n 952 -pH").stdout == pid


@pytest.mark.long
def test_a_commit_outlives_its_operator(clean_lab):
    with subprocess.Popen(
        command("harden", "-y", only=956), cwd=REPO, stderr=subprocess.PIPE, text=True
    ) as operator:
        for line in operator.stderr:
            if "CT 956: ok restarts" in line:
                operator.send_signal(signal.SIGKILL)
                break
    # --wait ends with the unit; its journal entry is the last thing that it writes
    unit = "systemctl list-units --plain --no-legend 'phoenix-harden-*' | cut -d' ' -f1"
    clean_lab.ssh(
        f"for unit in $({unit}); do while systemctl -q is-active $unit; do sleep 1; done; done"
    )
    journal = clean_lab.ssh("tail -n 1 /var/lib/phoenix-harden/runs/*/journal.jsonl").stdout
    assert json.loads(journal)["event"] == "done"
    assert clean_lab.label(956) == ENFORCED
