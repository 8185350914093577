"""deploys/doctor.py on nodes with scripted answers: a first look that needs no fleet file."""

import json

import pytest
from fake_node import CONF, FakeNode, docker, installed

PROFILE = "lxc-docker-nested"
PLAIN = CONF.replace("lxc.apparmor.profile: unconfined\n", "")
NONE = {"state": "none", "text": "guest 1\nabsent\nos debian 13", "error": ""}
PROXMOX = {
    "release": "6.17.13-2-pve",
    "build": "#1 SMP PREEMPT_DYNAMIC PMX 6.17.13-2 (2026-03-13T08:06Z)",
    "packages": {"pve-manager": "9.1.4", "lxc-pve": "6.0.5-2", "apparmor": "4.1.1-pmx1"},
}
BACKUP = [910, "2026-11-22T00:00:00Z", "local"]


def pve(name="pve1", first=910, **changes):
    """A node with an open container that has Docker."""
    confs = {first: CONF.format(name="portainer"), **changes.pop("confs", {})}
    values = {"versions": PROXMOX, "dockers": docker(first), "backups": {"backups": [BACKUP]}}
    return FakeNode(name, confs, **{**values, **changes})


def row(done, ctid=910):
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"{ctid} ")]
    return line


def next_of(done):
    """The command that the look ends with."""
    lines = iter(done.stderr.splitlines())
    return next(next(lines).strip() for line in lines if line.startswith("next"))


@pytest.mark.parametrize("flags", [("-y",), ("--dry",), ("-y", "--json")])
def test_it_tells_what_harden_would_do_without_a_fleet_file_and_changes_nothing(pyinfra, flags):
    done = pyinfra("doctor", pve(), flags=flags)
    assert done.code == 0, done.stderr
    text = "ready profile: unconfined becomes lxc-docker-nested; restarts"
    assert " ".join(row(done).split()) == f"910 portainer unconfined 26.1.5 overlay2 2 h {text}"
    assert done.commands == []
    assert "Starting operation" not in done.stderr
    for line in (
        "ok  login     root",
        "ok  python3   3.13",
        "ok  proxmox   pve-manager 9.1.4",
        "ok  kernel    6.17.13-2-pve",
        "ok  lxc       lxc-pve 6.0.5-2",
        "ok  apparmor  4.1.1-pmx1, enforces, 0 profiles loaded",
        "ok  denials   auditd writes all of them into its audit.log",
        "ok  backups   of each container",
        "pve1: 1 container: 1 ready",
    ):
        assert f"\n{line}\n" in done.stderr


def test_the_next_command_names_the_nodes_that_were_named(pyinfra, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", "root@pve1,admin@pve2")
    monkeypatch.delenv("PHOENIX_CLUSTER", raising=False)
    named = "phoenix doctor root@pve1 admin@pve2 --data write=fleet.json"
    assert next_of(pyinfra("doctor", pve())) == named


def test_each_next_command_leads_to_the_one_after_it(pyinfra, tmp_path):
    file = tmp_path / "fleet.json"
    done = pyinfra("doctor", pve())
    assert next_of(done) == "phoenix doctor --data write=fleet.json"
    done = pyinfra("doctor", pve(), write=file)
    assert f"written: {file}\n" in done.stderr
    harden = f"phoenix harden --dry --fleet {file} --only 910"
    assert next_of(done) == harden
    dry = pyinfra("harden", pve(), fleet=file, only=910, flags=("--dry",))
    assert "profile: unconfined becomes lxc-docker-nested" in dry.stderr
    run = pyinfra("harden", pve(), fleet=file, only=910)
    assert run.commands == ["910"]
    # the file is good for another look, too
    assert next_of(pyinfra("doctor", pve(), fleet=file)) == harden


def test_a_file_that_is_there_is_not_written_over(pyinfra, tmp_path):
    file = tmp_path / "fleet.json"
    file.write_text("mine")
    done = pyinfra("doctor", pve(), write=file)
    assert done.code != 0
    assert f"--data write={file}: is there already: name another file" in done.stderr
    assert file.read_text() == "mine"


def test_a_file_that_cannot_be_there_is_refused_without_a_traceback(pyinfra):
    done = pyinfra("doctor", pve(), write="x" * 300)
    assert done.code != 0
    assert f"cannot write --data write={'x' * 300}: File name too long" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_file_names_those_that_are_ready_and_no_others(pyinfra, tmp_path):
    file = tmp_path / "fleet.json"
    node = pve(
        confs={
            953: CONF.format(name="nginx"),
            954: f"lock: backup\n{CONF.format(name='locked')}",
            955: CONF.format(name="stopped"),
            956: PLAIN.format(name="plain"),
        },
        stopped=(955, 956),
        dockers={**docker(910), **docker(954), "953": NONE},
    )
    done = pyinfra("doctor", node, write=file)
    assert done.code == 0, done.stderr
    docker_entry = {"features": ["docker"], "apparmor_profile": PROFILE, "storage_driver": "keep"}
    assert json.loads(file.read_text()) == {
        "lxc_configs": {"910": docker_entry, "953": {"apparmor_profile": "generated"}}
    }
    assert "blocked   left alone: locked (backup); still to do: profile:" in row(done, 954)
    assert "unknown   stopped, its conf says unconfined; what runs in it is known" in row(done, 955)
    assert "confined  stopped, its conf says generated" in row(done, 956)
    assert "5 containers: 1 confined, 2 ready, 1 blocked, 1 unknown" in done.stderr


def test_a_fleet_file_that_is_given_counts_and_what_it_lacks_is_told(pyinfra):
    node = pve(confs={953: CONF.format(name="nginx")}, dockers={**docker(910), "953": NONE})
    fleet = {"910": {"features": ["docker"], "apparmor_profile": "generated"}}
    done = pyinfra("doctor", node, fleet=fleet)
    assert done.code == 0, done.stderr
    assert "ready    profile: unconfined becomes generated" in row(done)
    assert 'add it there: "953": {"apparmor_profile": "generated"}' in row(done, 953)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"login": ("uid 0", "user root", "python ", "pct /usr/sbin/pct")},
            "error  python3  python3 is missing: apt install python3 on the node",
        ),
        (
            {"login": ("uid 1000", "user joe", "python Python 3.13.5", "pct /usr/sbin/pct")},
            "error  login    joe is not root: log in as root, as in PHOENIX_NODES=root@NODE",
        ),
        (
            {"apparmor": {"enabled": False}},
            "error  apparmor  AppArmor is not enabled in the running kernel: boot it with",
        ),
        (
            {"apparmor": {"mode": "complain"}},
            "error  apparmor  AppArmor as a whole is in mode complain: it only logs",
        ),
    ],
    ids=["python3", "root", "AppArmor", "mode"],
)
def test_a_node_on_which_nothing_can_be_done_fails_with_what_to_do(pyinfra, changes, line):
    done = pyinfra("doctor", pve(**changes))
    assert done.code == 1
    assert f"\n{line}" in done.stderr
    (step,) = [line for line in done.stderr.splitlines() if line.startswith("next, on ")]
    assert "pve1: " in step
    assert next_of(done) == "phoenix doctor"


def test_of_several_nodes_one_that_is_broken_does_not_hide_the_others(pyinfra, tmp_path):
    broken = pve("pve2", 952, login=())
    done = pyinfra("doctor", pve(), broken, report=tmp_path)
    assert done.code == 1
    data = json.loads((tmp_path / "doctor.json").read_text())
    # one that cannot be asked does not say its name: it has that of the inventory
    nodes = {one["name"]: one["ok"] for one in data["nodes"]}
    assert nodes == {"pve1": True, "@fake/pve2": False}
    assert data["nodes"][0]["containers"][0]["state"] == "ready"
    assert data["next"]["code"] == "repair"
    assert data["next"]["node"] == "@fake/pve2"


def test_a_login_without_a_shell_is_told_and_does_not_hide_the_other_nodes(pyinfra):
    said = "This account is currently not available."
    closed = pve("pve2", 952, responses={"id -un": {"stdout": said, "success": False}})
    done = pyinfra("doctor", pve(), closed)
    assert done.code == 1
    assert "its shell does not say who logs in: log in with a shell that runs" in done.stderr
    assert "pve1: 1 container: 1 ready" in done.stderr


def test_a_node_that_does_not_tell_what_it_is_asked_is_told_and_does_not_hide_the_others(pyinfra):
    silent = pve("pve2", 952, responses={"observe ": {"stdout": "", "success": False}})
    done = pyinfra("doctor", pve(), silent)
    assert done.code == 1
    assert "error  answer   it did not tell what it was asked (see above)" in done.stderr
    assert "pve1: 1 container: 1 ready" in done.stderr
    assert "next, on @fake/pve2: answer: it did not tell" in done.stderr


def test_one_fleet_file_is_not_written_for_two_containers_of_one_id(pyinfra, tmp_path):
    nodes = pve(), pve("pve2")
    assert next_of(pyinfra("doctor", *nodes)) == "phoenix doctor root@pve1"
    done = pyinfra("doctor", *nodes, write=tmp_path / "fleet.json")
    assert done.code != 0
    assert "one fleet file cannot name two containers of one id: 910 (pve1 and pve2)" in done.stderr
    assert not (tmp_path / "fleet.json").exists()


def test_where_all_is_confined_the_next_thing_is_what_is_denied(pyinfra):
    node = pve(
        confs={910: CONF.format(name="portainer").replace("unconfined", PROFILE)},
        label=f"{PROFILE} (enforce)",
        apparmor=installed(),
    )
    done = pyinfra("doctor", node)
    assert done.code == 0, done.stderr
    assert row(done).endswith("confined  confined")
    assert next_of(done) == "phoenix denials"


def test_only_is_about_these_and_a_container_that_no_node_has_is_refused(pyinfra):
    node = pve(confs={953: CONF.format(name="nginx")}, dockers={**docker(910), "953": NONE})
    done = pyinfra("doctor", node, only=953)
    assert "pve1: 1 container: 1 ready" in done.stderr
    done = pyinfra("doctor", node, only=999)
    assert done.code != 0
    assert "only=999: no node of this inventory has a container 999" in done.stderr
