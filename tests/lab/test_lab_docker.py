"""One run over five kinds of guests: what is there comes through, what is asked for is proven, what
is granted by name is there, and a rollback undoes all of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from confined import in_guest, results, text
from conftest import Node
from on_node import ENFORCED, conf, hello, pyinfra, standing, state

from facts.audit import FellOver
from facts.docker import Dockers
from phoenix.apparmor.allows import ALLOWS
from phoenix.docker.observed import Bind

pytestmark = pytest.mark.lab

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}
FUSE = {**DOCKER, "pct_options": ["nesting=1", "keyctl=1", "fuse=1"]}
KEEPS = {**FUSE, "storage_driver": "keep"}
MINE = '{ "log-opts" : {"max-size": "10m"},\n\t"debug":false }'
MERGED = (
    '{ "log-opts" : {"max-size": "10m"},\n\t"debug":false,\n\t"storage-driver":"fuse-overlayfs" }'
)


def guest(node, ctid, script):
    return node.ssh(f"lxc-attach -n {ctid} -- sh -eu", input=script).stdout


def write(node, ctid, text):
    path = "/etc/docker/daemon.json"
    guest(node, ctid, f"mkdir -p /etc/docker\ncat >{path} <<'EOF'\n{text}\nEOF\nchmod 600 {path}")


def daemon_json(node, ctid):
    read = "ls -l /etc/docker; [ ! -e /etc/docker/daemon.json ] || cat /etc/docker/daemon.json"
    listing, _, text = guest(node, ctid, read).partition("daemon.json\n")
    assert "phoenix" not in listing
    return listing.splitlines()[-1][:10], text


def sees(node, ctid):
    """What the user sees of their Docker."""
    ps = "docker ps -a --format '{{.Names}} {{.Image}} {{.State}}'"
    return guest(node, ctid, f"{ps}\ndocker images -aq --no-trunc\ndocker volume ls -q\n")


def driver(node, ctid):
    return guest(node, ctid, "docker info --format '{{.Driver}}'").strip()


def stands(node, ctid):
    """All of a container that harden may change."""
    look = "dpkg-query -W; stat -c '%a %u:%g %n' /etc/docker/*; cat /etc/docker/daemon.json"
    return [conf(node, ctid), node.label(ctid), guest(node, ctid, look), driver(node, ctid)]


def harden(tmp_path, *flags, **entries):
    fleet = tmp_path / "fleet.json"
    configs = {ctid.removeprefix("ct"): entry for ctid, entry in entries.items()}
    fleet.write_text(json.dumps({"lxc_configs": configs}))
    return pyinfra("harden", "-y", *flags, fleet=fleet)


OWN = "lxc-docker-nested-954"
GRANTED = {**KEEPS, "apparmor_allows": [*ALLOWS], "apparmor_audit": ["/etc"]}
#: As log2ram and those who bind their data have it.
FSTAB = """
    mkdir -p /srv/log /srv/data /srv/seen
    echo 'ram /srv/log tmpfs size=1m 0 0' >>/etc/fstab
    echo '/srv/data /srv/seen none bind 0 0' >>/etc/fstab
    systemctl daemon-reload
    systemctl restart local-fs.target srv-log.mount srv-seen.mount
"""
WEB = """
    mkdir /srv/web
    docker run -d --pull never --name web --restart always \
        --mount type=bind,src=/srv/web,dst=/web hello:lab httpd -f -p 80
"""
GUESTS = {
    "ct952": DOCKER,  # emptied: it gets fuse-overlayfs
    "ct953": {"apparmor_profile": "generated"},
    "ct954": GRANTED,
    "ct956": KEEPS,  # with what is in it
    "ct960": DOCKER,  # stopped
}


def first_run(node):
    return node.ssh("ls /var/lib/phoenix-harden/runs").stdout.split()[0]


@dataclass(frozen=True)
class Hardened:
    """The node after its run: what that said, and what was there before."""

    node: Node
    dry: CompletedProcess[str]
    done: CompletedProcess[str]
    folder: Path
    web: str
    stood: list[object]
    before: str


@pytest.fixture(scope="module")
def hardened(lab, tmp_path_factory):
    """The daemon.jsons of 952 and 956 are users'; 954 mounts what the profile refuses."""
    lab.reset()
    guest(lab, 952, "docker system prune -af --volumes")
    guest(lab, 954, FSTAB)
    guest(lab, 956, WEB)
    for ctid in (952, 956):
        write(lab, ctid, MINE)
    folder = tmp_path_factory.mktemp("hardened")
    before = sees(lab, 956), stands(lab, 952), standing(lab)
    dry = harden(folder, "--dry", **{**GUESTS, "ct954": KEEPS})
    done = harden(folder, **GUESTS)
    assert done.returncode == 0, done.stderr
    return Hardened(lab, dry, done, folder, *before)


def test_images_containers_and_the_users_daemon_json_come_through(hardened):
    node = hardened.node
    assert node.label(956) == ENFORCED
    assert sees(node, 956) == hardened.web
    assert "web hello:lab running" in hardened.web
    assert daemon_json(node, 956) == ("-rw-------", f"{MINE}\n")


def test_without_data_the_driver_is_switched_with_its_package_and_proven(hardened):
    node = hardened.node
    assert driver(node, 952) == "fuse-overlayfs"
    assert "CT 952: ok docker info says fuse-overlayfs" in hardened.done.stderr
    assert "fuse=1" in conf(node, 952).partition("\n[")[0]
    assert daemon_json(node, 952) == ("-rw-------", f"{MERGED}\n")
    status = guest(node, 952, "dpkg-query -W -f '${db:Status-Abbrev}' fuse-overlayfs")
    assert status.strip() == "ii"


def test_the_journal_names_the_packages_and_both_files(hardened):
    node = hardened.node
    lines = node.ssh("cat /var/lib/phoenix-harden/runs/*/journal.jsonl").stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    intent, done = (entry for entry in entries if "packages" in entry)
    assert (intent["event"], intent["packages"]) == ("intent", "fuse-overlayfs")
    assert (done["event"], done["ctid"]) == ("done", 952)
    assert "fuse-overlayfs" in done["packages"].split()
    mine = [one for one in entries if one.get("file") == "/etc/docker/daemon.json"]
    assert [(one["ctid"], one["event"]) for one in mine] == [(952, "intent"), (952, "done")]
    kept = node.ssh(f"cat /var/lib/phoenix-harden/runs/*/guest/952/{mine[0]['before']}").stdout
    assert kept == f"{MINE}\n"


def test_what_a_container_mounts_is_known_before_with_the_permission_that_it_takes(hardened):
    said = hardened.dry.stderr
    assert "/etc/fstab mounts /srv/log (tmpfs), which lxc-docker-nested refuses" in said
    assert '"apparmor_allows": ["guest-mounts"]' in said


def test_what_is_granted_by_name_works_in_that_container_under_a_profile_of_its_own(hardened):
    node = hardened.node
    assert node.label(954) == f"{OWN} (enforce)"
    assert OWN not in conf(node, 952)
    mounts = in_guest(node, 954, "systemctl is-active srv-log.mount srv-seen.mount").split()
    assert mounts == ["active", "active"]
    said = results(in_guest(node, 954, text("allows.sh")))
    assert [line for line in said.values() if not line.startswith("PASS ")] == []
    assert {name.partition("/")[0] for name in said} == {*ALLOWS}


def test_what_is_to_be_logged_is_shown_apart_from_what_was_denied(hardened):
    in_guest(hardened.node, 954, "echo changed >/etc/written")
    fleet = hardened.folder / "fleet.json"
    said = pyinfra("audit", "-y", fleet=fleet, only=954).stderr
    assert "logged on request" in said
    assert "/etc/written" in said


def test_a_second_run_changes_nothing(hardened):
    node = hardened.node
    before = state(node)
    done = harden(hardened.folder, **GUESTS)
    assert done.returncode == 0, done.stderr
    assert "pve-lab: nothing to change" in done.stderr
    assert state(node) == before


def test_a_container_that_cannot_start_any_more_is_told_of_and_no_other(hardened):
    node = hardened.node
    ask = FellOver().command((952, 956)).get_raw_value()

    def told():
        found = FellOver().process(node.ssh("sh", input=f"{ask}\n").stdout.splitlines())
        return {ctid: [*map(str, one.things)] for ctid, one in found.items()}

    guest(node, 956, "docker stop -t 0 web")
    assert told() == {}
    guest(node, 956, "rmdir /srv/web; touch /srv/web; ! docker start web")
    assert told() == {956: ["container web is exited: Docker could not start it"]}
    guest(node, 956, "rm /srv/web; mkdir /srv/web; docker start web")
    assert told() == {}


def test_a_rollback_of_one_container_brings_back_its_driver_daemon_json_and_packages(hardened):
    done = pyinfra("rollback", "-y", run=first_run(hardened.node), only=952)
    assert done.returncode == 0, done.stderr
    assert "CT 952: ok docker info says overlay2" in done.stderr
    assert stands(hardened.node, 952) == hardened.stood
    # of the others nothing
    assert hardened.node.label(956) == ENFORCED


def test_a_node_is_after_a_rollback_what_it_was_before(hardened):
    node, run = hardened.node, first_run(hardened.node)
    now = state(node)

    dry = pyinfra("rollback", "--dry", run=run)
    assert dry.returncode == 0, dry.stderr
    assert "- lxc.apparmor.profile: lxc-docker-nested" in dry.stderr
    assert "+ lxc.apparmor.profile: unconfined" in dry.stderr
    assert "/etc/apparmor.d/lxc-docker-nested (removed)" in dry.stderr
    assert state(node) == now

    done = pyinfra("rollback", "-y", run=run)
    assert done.returncode == 0, done.stderr
    assert standing(node) == hardened.before
    assert "web hello:lab running" in sees(node, 956)
    assert hello(node, 954) == "it works"
    assert node.ssh("ls /var/lib/phoenix-harden/containers").stdout == ""

    again = pyinfra("rollback", "-y", run=run)
    assert again.returncode == 0, again.stderr
    assert "pve-lab: nothing to change" in again.stderr
    assert f"{run}  pve-lab  rolled back" in pyinfra("rollback", "-y", list="true").stderr


@pytest.mark.long
def test_a_dockerd_that_does_not_start_gets_both_files_back(clean_lab, tmp_path):
    node = clean_lab
    assert harden(tmp_path, ct956=KEEPS).returncode == 0
    # the package is there, as dpkg says, and its program cannot be run
    guest(node, 956, "docker system prune -af; chmod -x /usr/bin/fuse-overlayfs")
    before = (conf(node, 956), daemon_json(node, 956), node.ssh("lxc-info -n 956 -pH").stdout)
    done = harden(tmp_path, ct956={**FUSE, "storage_driver": "fuse-overlayfs"})
    assert done.returncode == 1
    # the conf was right: only Docker restarts
    assert "CT 956: ok restarts (" not in done.stderr
    assert "CT 956: restored: the old conf is back" in done.stderr
    after = (conf(node, 956), daemon_json(node, 956), node.ssh("lxc-info -n 956 -pH").stdout)
    assert after == before
    assert driver(node, 956) == "overlay2"


def test_what_cannot_be_in_a_guest_leaves_it_alone_and_is_said(clean_lab, tmp_path):
    write(clean_lab, 956, '{\n    // mine\n    "debug": false\n}')
    before = state(clean_lab)
    wants = {**DOCKER, "storage_driver": "fuse-overlayfs"}
    done = harden(tmp_path, ct910=wants, ct956=DOCKER)
    assert done.returncode == 1
    table = done.stderr.partition("RESULT")[2]
    assert "left alone: /etc/docker/daemon.json: line 2, column 5" in table
    assert (
        "left alone: storage_driver fuse-overlayfs: Docker runs on overlay2, which holds "
        "1 image, 1 container, 1 volume: fuse-overlayfs would hide them" in table
    )
    confs = [line for line in before.splitlines() if "/etc/pve/lxc" in line]
    assert {*confs} <= {*state(clean_lab).splitlines()}
    assert clean_lab.label(910) == clean_lab.label(956) == "unconfined"


def test_a_hung_guest_costs_its_time_out_and_the_others_answer(lab):
    ask = Dockers().command((953, 954, 960)).get_raw_value()
    lab.ssh("lxc-freeze -n 954")
    try:
        said = lab.ssh("sh", input=f"export PHOENIX_GUEST_TIMEOUT=5\n{ask}\n").stdout
    finally:
        lab.ssh("lxc-unfreeze -n 954")
    found = Dockers().process(said.splitlines())
    states = {ctid: docker.state for ctid, docker in found.items()}
    assert states == {953: "none", 954: "hung", 960: "stopped"}


def test_what_docker_runs_on_is_what_its_dockerd_was_built_for(lab):
    said = lab.ssh("sh", input=f"{Dockers().command((910,)).get_raw_value()}\n").stdout
    built_for = guest(lab, 910, "docker version --format '{{.Server.Arch}}'").strip()
    assert Dockers().process(said.splitlines())[910].architecture == built_for


def test_what_dockerd_says_on_its_socket_is_what_docker_says(clean_lab):
    make = "docker create --pull never --network none"
    guest(
        clean_lab,
        954,
        f"""
        mkdir -p "/srv/a & b"
        ln -s "a & b" /srv/link
        ln -s /srv /srv/plain
        {make} --name kept --restart always -v /srv/plain:/x -v /srv/link:/y hello:lab sleep 600
        {make} --name open --security-opt seccomp=unconfined --label 'A="b' hello:lab sleep 600
        {make} --name made -v /srv:/z hello:lab true
        docker start kept open
        """,
    )

    def ask():
        said = clean_lab.ssh("sh", input=f"{Dockers().command((954,)).get_raw_value()}\n").stdout
        return replace(Dockers().process(said.splitlines())[954], runc="", mount=None)

    by_socket = ask()
    # root has other engines by name: then docker is asked
    guest(clean_lab, 954, "mkdir -p /root/.docker/contexts")
    by_command = ask()
    assert by_socket == by_command
    assert {(one.name, one.state) for one in by_socket.workloads} == {
        ("kept", "running"),
        ("open", "running"),
        ("made", "created"),
    }
    assert Bind("kept", "/srv", "/x") in by_socket.binds
    assert by_socket.unconfined == (("open", "seccomp=unconfined"),)
