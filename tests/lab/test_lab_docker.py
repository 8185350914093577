"""harden and Docker in the guests: what is there comes through, what is asked for is proven."""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, conf, pyinfra, state

from facts.audit import FellOver
from facts.docker import Dockers

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


@pytest.fixture(scope="module")
def hardened(lab, tmp_path_factory):
    """952, emptied, gets fuse-overlayfs; 956 keeps what is in it. Both daemon.jsons are users'."""
    lab.reset()
    run = (
        "mkdir /srv/web; docker run -d --pull never --name web --restart always "
        "--mount type=bind,src=/srv/web,dst=/web hello:lab httpd -f -p 80"
    )
    guest(lab, 952, "docker system prune -af --volumes")
    guest(lab, 956, run)
    for ctid in (952, 956):
        write(lab, ctid, MINE)
    before = sees(lab, 956)
    folder = tmp_path_factory.mktemp("hardened")
    (folder / "952.json").write_text(json.dumps(stands(lab, 952)))
    done = harden(folder, ct952=DOCKER, ct956=KEEPS)
    assert done.returncode == 0, done.stderr
    return lab, done, before, folder


def test_images_containers_and_the_users_daemon_json_come_through(hardened):
    node, _, before, _ = hardened
    assert node.label(956) == ENFORCED
    assert sees(node, 956) == before
    assert "web hello:lab running" in before
    assert daemon_json(node, 956) == ("-rw-------", f"{MINE}\n")


def test_without_data_the_driver_is_switched_with_its_package_and_proven(hardened):
    node, done, _, _ = hardened
    assert driver(node, 952) == "fuse-overlayfs"
    assert "CT 952: ok docker info says fuse-overlayfs" in done.stderr
    assert "fuse=1" in conf(node, 952).partition("\n[")[0]
    assert daemon_json(node, 952) == ("-rw-------", f"{MERGED}\n")
    status = guest(node, 952, "dpkg-query -W -f '${db:Status-Abbrev}' fuse-overlayfs")
    assert status.strip() == "ii"


def test_the_journal_names_the_packages_and_both_files(hardened):
    node, _, _, _ = hardened
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


def test_a_second_run_changes_nothing(hardened):
    node, _, _, folder = hardened
    before = state(node)
    done = harden(folder, ct952=DOCKER, ct956=KEEPS)
    assert done.returncode == 0, done.stderr
    assert "pve-lab: nothing to change" in done.stderr
    assert state(node) == before


def test_a_container_that_cannot_start_any_more_is_told_of_and_no_other(hardened):
    node, _, _, _ = hardened
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


@pytest.mark.long
def test_a_dockerd_that_does_not_start_gets_both_files_back(hardened, tmp_path):
    node, _, _, _ = hardened
    # the package is there, as dpkg says, and its program cannot be run
    guest(node, 956, "docker rm -f web; docker system prune -af; chmod -x /usr/bin/fuse-overlayfs")
    before = (conf(node, 956), daemon_json(node, 956), node.ssh("lxc-info -n 956 -pH").stdout)
    done = harden(tmp_path, ct956={**FUSE, "storage_driver": "fuse-overlayfs"})
    assert done.returncode == 1
    # the conf was right: only Docker restarts
    assert "CT 956: ok restarts (" not in done.stderr
    assert "CT 956: restored: the old conf is back" in done.stderr
    after = (conf(node, 956), daemon_json(node, 956), node.ssh("lxc-info -n 956 -pH").stdout)
    assert after == before
    assert driver(node, 956) == "overlay2"


def test_a_rollback_brings_back_driver_daemon_json_and_packages(hardened):
    node, _, _, folder = hardened
    run = node.ssh("ls /var/lib/phoenix-harden/runs").stdout.split()[0]
    done = pyinfra("rollback", "-y", run=run, only=952)
    assert done.returncode == 0, done.stderr
    assert "CT 952: ok docker info says overlay2" in done.stderr
    assert stands(node, 952) == json.loads((folder / "952.json").read_text())


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
