"""deploys/rollback.py on nodes with scripted answers."""

import hashlib
import json
from dataclasses import replace

import pytest
from fake_node import FakeNode, journal

RUN = "r20261122T013000Z-beef"
OLD = "hostname: portainer\nlxc.apparmor.profile: unconfined\n"
NEW = "hostname: portainer\nlxc.apparmor.profile: lxc-docker-nested\n"
PROFILE = "/etc/apparmor.d/lxc-docker-nested"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def of_conf(event, **keys):
    return {"ctid": 910, "event": event, "file": "/etc/pve/lxc/910.conf", **keys}


HARDENED = [
    {"profile": "lxc-docker-nested", "event": "intent", "before": "none", "after": sha("p")},
    {"profile": "lxc-docker-nested", "event": "done", "after": sha("p")},
    of_conf("intent", before=sha(OLD), after=sha(NEW), ours="none"),
    of_conf("done", after=sha(NEW)),
]
KEPT = {
    "files": {sha(OLD): OLD},
    "staged": {"910": {"conf": NEW, "before": sha(OLD), "docker": ""}},
}


def node(name="pve1", conf=NEW, runs=HARDENED, profile="p", **responses):
    return FakeNode(
        name,
        {910: conf},
        label="lxc-docker-nested (enforce)",
        runs={RUN: journal(*runs)} if runs else {},
        kept={**KEPT, "now": {PROFILE: profile}},
        responses=responses,
    )


def operations(done):
    return [
        line.partition("Starting operation: ")[2].strip()
        for line in done.stderr.splitlines()
        if "Starting operation: " in line
    ]


def test_the_last_run_is_undone_containers_first_and_then_the_files(pyinfra):
    done = pyinfra("rollback", node())
    assert done.code == 0, done.stderr
    assert f"rolling back run {RUN}" in done.stderr
    assert operations(done) == [
        f"Roll back run {RUN}",
        "Stage the containers' old state",
        "CT 910 portainer",
        PROFILE,
        "Verdict",
    ]
    assert done.commands == ["910"]


def test_each_node_is_asked_for_its_runs_and_then_for_all_that_one_changed(pyinfra):
    done = pyinfra("rollback", node(), flags=("--dry",))
    loaded = [line.split()[3] for line in done.stderr.splitlines() if "Loaded fact" in line]
    assert loaded == ["facts.observe.Observe"] * 2


def test_what_stands_against_undoing_a_settled_container_fails_the_run(pyinfra):
    edited = node(runs=HARDENED[:3], conf=NEW.replace("lxc-docker-nested", "lxc-mine"))
    done = pyinfra("rollback", edited, run=RUN)
    assert done.code == 1
    assert "lxc.apparmor.profile is lxc-mine now" in done.stderr


def test_dry_shows_what_would_go_back_and_runs_nothing(pyinfra):
    done = pyinfra("rollback", node(), flags=("--dry",))
    assert done.code == 0, done.stderr
    assert done.commands == []
    for line in (
        "- lxc.apparmor.profile: lxc-docker-nested",
        "+ lxc.apparmor.profile: unconfined",
        f"{PROFILE} (removed)",
    ):
        assert line in done.stderr


def test_without_quorum_nothing_is_undone(pyinfra):
    done = pyinfra("rollback", replace(node(), etc_pve={"read_only": True}))
    assert done.code == 1
    assert "pve1: /etc/pve is mounted read-only" in done.stderr
    assert operations(done) == []


def test_undoing_twice_runs_no_operation(pyinfra):
    done = pyinfra("rollback", node(conf=OLD, profile=None))
    assert done.code == 0, done.stderr
    assert "pve1: nothing to change" in done.stderr
    assert operations(done) == []


def test_the_run_is_undone_on_all_its_nodes_and_others_stay_as_they_are(pyinfra):
    done = pyinfra("rollback", node(), node("pve2"), node("pve3", runs=[]))
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "910"]
    assert "pve3: nothing to change" in done.stderr


def test_the_list_shows_the_runs_and_changes_nothing(pyinfra):
    done = pyinfra("rollback", node(), list="true")
    assert done.code == 0, done.stderr
    assert f"{RUN}  @fake/pve1  done   profile lxc-docker-nested, CT 910" in done.stderr
    assert operations(done) == []


def test_nodes_without_any_run_say_so(pyinfra):
    done = pyinfra("rollback", node(runs=[]))
    assert done.code == 0, done.stderr
    assert "no run has left a journal on these nodes" in done.stderr


def test_what_was_cut_short_is_settled_first_and_then_planned_anew(pyinfra):
    cut = [*HARDENED[:3]]
    done = pyinfra("rollback", node(runs=cut))
    assert done.code == 0, done.stderr
    assert f"CT 910: run {RUN} was interrupted; it is recovered first" in done.stderr
    assert operations(done)[1] == f"CT 910: recover run {RUN}, then roll back"
    # the commit that was cut short, then one with the old conf
    assert done.commands == ["910", "910"]


def test_after_a_failed_commit_no_file_of_the_node_goes_back(pyinfra):
    failing = {"commit CT 910": {"success": False, "stderr": "CT 910: restored"}}
    done = pyinfra("rollback", node(**failing))
    assert done.code == 1
    assert " restore " not in done.stderr.partition("Beginning operation run")[2]


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({}, {"run": "r20250101T000000Z-0000"}, "no node of this inventory has that run"),
        ({}, {"run": "last"}, "'last' is not the id of a run: --data list=true shows them"),
        ({"profile": "edited"}, {}, "profile lxc-docker-nested: somebody changed it since"),
        ({"conf": NEW.replace("lxc-docker-nested", "lxc-mine")}, {}, "lxc-mine now"),
        ({"conf": f"lock: backup\n{NEW}"}, {}, "locked (backup)"),
    ],
)
def test_what_cannot_be_undone_is_refused_before_anything_changes(pyinfra, changes, data, message):
    done = pyinfra("rollback", node(**changes), **data)
    assert done.code == 1
    assert message in done.stderr
    assert operations(done) == []


@pytest.mark.parametrize("deploy", ["harden", "audit", "host_prep"])
def test_the_keys_of_a_rollback_mean_nothing_to_the_others(pyinfra, deploy):
    done = pyinfra(deploy, node(), fleet={"910": {}}, run=RUN)
    assert done.code == 1
    assert "--data run: belongs to rollback" in done.stderr


def test_a_rollback_refuses_the_keys_of_the_others(pyinfra):
    done = pyinfra("rollback", node(), strict="true", snapshot="true")
    assert done.code == 1
    assert "--data strict: belongs to audit" in done.stderr
    assert "--data snapshot: belongs to harden" in done.stderr
    assert done.commands == []


def test_the_nodes_configuration_is_written_out_before_anything_is_undone(pyinfra, tmp_path):
    archive = [json.dumps({"sha256": sha("x"), "files": 1, "left_out": []}), "eA=="]
    done = pyinfra("rollback", node(**{" archive": archive}), backup=tmp_path / "kept")
    assert done.code == 0, done.stderr
    (file,) = (tmp_path / "kept").iterdir()
    assert operations(done)[:2] == [f"Archive {file.name}", f"Roll back run {RUN}"]
    assert file.read_text() == "x"


def test_a_rollbacks_plan_can_be_written_as_well(pyinfra, tmp_path):
    file = tmp_path / "plan.json"
    done = pyinfra("rollback", node(), flags=("--dry",), plan=file)
    assert done.code == 0, done.stderr
    plan = json.loads(file.read_text())
    assert plan["recipe"] == "rollback"
    actions = {one["action"] for one in plan["nodes"][0]["actions"]}
    assert actions == {"container", "restore-file"}


# --- a run that has made a container --------------------------------------------------------------


def created(conf=NEW, ends=True, **changes):
    """A node with CT 910, which the run has made, or was interrupted in making."""
    lines = [
        {"event": "begin", "format": 2},
        of_conf("intent", before="none", after=sha("planned"), ours="none"),
        *([of_conf("done", after=sha(NEW))] if ends else []),
    ]
    request = json.dumps({"datasets": [{"name": "tank/data"}], "folders": []})
    return FakeNode(
        "pve1",
        {} if conf is None else {910: conf},
        runs={RUN: journal(*lines)},
        kept={"staged": {"910": {"create.json": request}}},
        **changes,
    )


def test_a_container_that_the_run_made_is_destroyed_with_the_word_for_it(pyinfra):
    done = pyinfra("rollback", created(), force="created")
    assert done.code == 0, done.stderr
    assert operations(done) == [f"Roll back run {RUN}", "CT 910 portainer: destroy", "Verdict"]
    assert "these stay: tank/data" in done.stderr
    assert " destroy r" in done.stderr


def test_dry_shows_the_conf_that_goes(pyinfra):
    done = pyinfra("rollback", created(), flags=("--dry",), force="created")
    assert done.code == 0, done.stderr
    assert "/etc/pve/lxc/910.conf (removed)" in done.stderr
    assert "- lxc.apparmor.profile: lxc-docker-nested" in done.stderr
    assert done.commands == []


@pytest.mark.parametrize(
    ("conf", "data", "message"),
    [
        (NEW, {}, "if that is meant: --data force=created"),
        (NEW, {"force": "true"}, "if that is meant: --data force=created"),
        (f"{NEW}cores: 2\n", {"force": "created"}, "it is not destroyed, whatever is forced"),
        (f"{NEW}protection: 1\n", {"force": "created"}, "it is not destroyed"),
    ],
)
def test_else_it_is_refused_before_anything_changes(pyinfra, conf, data, message):
    done = pyinfra("rollback", created(conf), **data)
    assert done.code == 1
    assert message in done.stderr
    assert operations(done) == []


def test_one_that_is_gone_already_is_a_note_and_no_operation(pyinfra):
    done = pyinfra("rollback", created(None), force="created")
    assert done.code == 0, done.stderr
    assert "CT 910: gone, left alone" in done.stderr
    assert operations(done) == []


def test_without_quorum_nothing_is_destroyed(pyinfra):
    done = pyinfra("rollback", created(etc_pve={"read_only": True}), force="created")
    assert done.code == 1
    assert operations(done) == []


def test_one_that_was_cut_short_in_the_making_is_recovered_without_that_word(pyinfra):
    done = pyinfra("rollback", created(ends=False))
    assert done.code == 0, done.stderr
    recovers = f"CT 910: recover run {RUN}, then roll back"
    assert operations(done) == [f"Roll back run {RUN}", recovers, "Verdict"]
