"""Containers that the node lacks: made from a template or a clone, confined from their first start.

The lab's template is its own Debian without Docker; Docker comes from the repository of the node.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from moments import KILL, at, moments
from on_node import ENFORCED, REPO, command, conf, hello, pyinfra, state

from lab.recipe import TEMPLATE
from lab.vm import Lab

pytestmark = pytest.mark.lab
CTID, PLAIN, CLONE = 970, 971, 972

#: Notes each program that a process of any container's root, or of its users, begins: its label.
WATCH = """
    auditctl -d task,never
    for kind in PATH CWD EXECVE PROCTITLE; do auditctl -a always,exclude -F msgtype=$kind; done
    auditctl -a always,exit -F arch=b64 -S execve -F 'uid>=100000' -k guest
"""
IMPORT = """
    docker import -c 'CMD ["/bin/sh"]' /usr/share/lab/hello.tar hello:lab >/dev/null
"""


def entry(ctid, **more):
    return {
        "name": f"made-{ctid}",
        "template": f"local:vztmpl/{TEMPLATE}",
        "storage_pool": "local",
        "storage_size_gb": 4,
        "memory_mb": 768,
        "swap_mb": 0,
        "cores": 2,
        "pct_options": ["nesting=1"],
        "network_config": {
            "bridge": "vmbr0",
            "ip": f"10.10.10.{ctid - 800}/24",
            "gw": "10.10.10.1",
        },
        **more,
    }


DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "storage_driver": "fuse-overlayfs",
}


def fleet(folder, entries):
    file = folder / "fleet.json"
    file.write_text(json.dumps({"lxc_configs": {str(ctid): one for ctid, one in entries.items()}}))
    return file


def create(file, *flags, **data):
    return pyinfra("create", *(flags or ("-y",)), fleet=file, **data)


def guest(node, ctid, script):
    return node.ssh(f"lxc-attach -n {ctid} -- sh -eu", input=script).stdout


def is_there(node, ctid):
    return f"\n{ctid} " in f"\n{node.ssh('pct list').stdout}"


def left(node, ctid):
    """What there is of a container: conf, disks, LXC's config, what is mounted for it."""
    return node.ssh(
        f"""
        ls -d /etc/pve/lxc/{ctid}.conf /var/lib/vz/images/{ctid}/* /var/lib/lxc/{ctid}/config
        grep /var/lib/lxc/{ctid}/ /proc/mounts
        """,
        check=False,
    ).stdout


def audited(node):
    return node.ssh("cat $(ls -tr /var/log/audit/audit.log*)").stdout


def programs(node):
    """Of each program that a container's process began: what it is, and the label it got."""
    line = r'^type=SYSCALL .* success=yes .* exe="([^"]*)" subj==?(.*?)(?: \(\w+\))? key="guest"'
    return re.findall(line, audited(node), re.MULTILINE)


@pytest.fixture(scope="module")
def made(lab, tmp_path_factory):
    """The lab from `clean` through one run that makes CT 970, each program in it noted.

    No other container runs: theirs are not confined, and their timers begin programs.
    """
    lab.reset()
    lab.ssh("for name in $(lxc-ls --running -1); do lxc-stop -k -n $name; done")
    lab.ssh(WATCH)
    file = fleet(tmp_path_factory.mktemp("create"), {CTID: entry(CTID, **DOCKER)})
    return lab, create(file), file


def test_a_container_with_docker_is_made_confined_and_proven(made):
    node, done, _ = made
    assert done.returncode == 0, done.stderr
    assert node.label(CTID) == ENFORCED
    assert f"CT {CTID}: ok PID 1 runs as {ENFORCED}" in done.stderr
    assert f"CT {CTID}: ok a container of our own runs and answers" in done.stderr


def test_its_conf_is_what_the_file_says(made):
    node, _, _ = made
    text = conf(node, CTID)
    lines = text.splitlines()
    for line in (
        "cores: 2",
        f"hostname: made-{CTID}",
        "memory: 768",
        f"rootfs: local:{CTID}/vm-{CTID}-disk-0.raw,size=4G",
        "swap: 0",
        "unprivileged: 1",
        "lxc.apparmor.profile: lxc-docker-nested",
    ):
        assert line in lines
    assert re.search(r"(?m)^net0: name=eth0,bridge=vmbr0,.*ip=10\.10\.10\.170/24,type=veth$", text)
    assert "lock:" not in text
    assert not text.startswith("#")


def test_none_of_its_processes_was_ever_unconfined(made):
    node, _, _ = made
    began = programs(node)
    first = next(place for place, (program, _) in enumerate(began) if "/systemd/systemd" in program)
    # before its init only what the node does to its disk, none of it a program of the container
    assert {label for _, label in began[first:]} == {"lxc-docker-nested"}
    assert any("dockerd" in program for program, _ in began[first:])
    assert not any("dockerd" in program for program, _ in began[:first])


def test_its_docker_is_on_the_wanted_driver_from_its_first_start(made):
    node, _, _ = made
    driver = guest(node, CTID, "docker info -f '{{.Driver}}'")
    assert driver == "fuse-overlayfs\n"
    held = guest(node, CTID, "ls /var/lib/docker").split()
    assert not {"overlay2", "vfs"} & {*held}


def test_docker_runs_a_container_in_it(made):
    node, _, _ = made
    guest(node, CTID, IMPORT)
    assert hello(node, CTID) == "it works"


def test_nothing_was_denied(made):
    node, _, _ = made
    denied = re.findall(r'apparmor="DENIED".* profile="lxc-docker-nested".*', audited(node))
    assert denied == []


def test_a_second_run_and_a_harden_change_nothing(made):
    node, _, file = made
    before = state(node)
    again = create(file)
    assert again.returncode == 0, again.stderr
    assert "pve-lab: nothing to change" in again.stderr
    assert "Starting operation" not in again.stderr
    assert "pve-lab: nothing to change" in pyinfra("harden", "-y", fleet=file).stderr
    assert state(node) == before


def test_a_container_that_is_there_is_nothing_to_make(made):
    node, _, file = made
    before = conf(node, CTID)
    named = create(file, only=CTID)
    assert named.returncode == 0, named.stderr
    assert "is there already" in named.stderr
    assert conf(node, CTID) == before


def test_a_rollback_takes_it_away_only_if_it_is_told_to(made):
    node, _, _ = made
    kept = pyinfra("rollback", "-y")
    assert kept.returncode != 0
    assert "force=created" in kept.stderr
    assert is_there(node, CTID)
    done = pyinfra("rollback", "-y", force="created")
    assert done.returncode == 0, done.stderr
    assert not is_there(node, CTID)
    assert left(node, CTID) == ""


def test_a_dry_run_shows_what_pct_would_be_told_and_makes_nothing(clean_lab, tmp_path):
    before = state(clean_lab)
    dry = create(fleet(tmp_path, {CTID: entry(CTID, **DOCKER)}), "--dry")
    assert dry.returncode == 0, dry.stderr
    assert f"pct create {CTID} local:vztmpl/{TEMPLATE} " in dry.stderr
    assert "+ lxc.apparmor.profile: lxc-docker-nested" in dry.stderr
    assert state(clean_lab) == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"template": "local:vztmpl/nosuch_1_amd64.tar.zst"}, "nosuch_1_amd64.tar.zst"),
        ({"storage_pool": "nosuch"}, "nosuch"),
        ({"network_config": {"bridge": "vmbr0", "ip": "10.10.10.110/24"}}, "10.10.10.110"),
    ],
    ids=["template", "storage", "address"],
)
def test_what_the_node_has_not_or_has_already_is_refused_before_anything_is_done(
    clean_lab, tmp_path, more, said
):
    before = state(clean_lab)
    refused = create(fleet(tmp_path, {CTID: entry(CTID, **DOCKER) | more}))
    assert refused.returncode != 0
    assert said in refused.stderr
    assert state(clean_lab) == before
    assert left(clean_lab, CTID) == ""


def test_a_number_that_a_machine_has_is_refused(clean_lab, tmp_path):
    clean_lab.ssh(
        f"mkdir -p /etc/pve/local/qemu-server && : >/etc/pve/local/qemu-server/{CTID}.conf"
    )
    refused = create(fleet(tmp_path, {CTID: entry(CTID)}))
    assert refused.returncode != 0
    assert f"CT {CTID}" in refused.stderr
    assert left(clean_lab, CTID) == ""


def test_a_pct_that_fails_in_the_middle_leaves_nothing_and_its_reason(clean_lab, tmp_path):
    # whole enough to be begun with
    cache = "/var/lib/vz/template/cache"
    clean_lab.ssh(f"head -c 8M {cache}/{TEMPLATE} >{cache}/cut_1_amd64.tar.zst")
    file = fleet(tmp_path, {CTID: entry(CTID, template="local:vztmpl/cut_1_amd64.tar.zst")})
    failed = create(file)
    assert failed.returncode != 0
    assert f"unable to create CT {CTID} - " in failed.stderr
    assert left(clean_lab, CTID) == ""
    mended = create(fleet(tmp_path, {CTID: entry(CTID)}))
    assert mended.returncode == 0, mended.stderr
    assert is_there(clean_lab, CTID)


@pytest.mark.long
def test_one_without_docker_and_its_clone_are_made_in_their_order(clean_lab, tmp_path):
    clone = entry(CLONE, clone_from_ctid=PLAIN, boot_order=1, **DOCKER)
    del clone["template"]
    done = create(fleet(tmp_path, {CLONE: clone, PLAIN: entry(PLAIN)}))
    assert done.returncode == 0, done.stderr
    assert re.findall(r"CT (\d+): done", done.stderr) == [str(PLAIN), str(CLONE)]
    # what others are cloned from need not run, and without Docker there is nothing to prove in it
    assert clean_lab.ssh(f"pct status {PLAIN}").stdout == "status: stopped\n"
    assert f"CT {PLAIN}: ok starts" not in done.stderr
    assert f"CT {CLONE}: ok starts" in done.stderr
    assert "lxc.apparmor.profile" not in conf(clean_lab, PLAIN)
    assert clean_lab.label(CLONE) == ENFORCED
    guest(clean_lab, CLONE, IMPORT)
    assert hello(clean_lab, CLONE) == "it works"


@pytest.mark.long
def test_one_without_docker_runs_under_the_generated_profile(clean_lab, tmp_path):
    done = create(fleet(tmp_path, {PLAIN: entry(PLAIN)}))
    assert done.returncode == 0, done.stderr
    assert clean_lab.label(PLAIN).startswith(f"lxc-{PLAIN}_")
    assert "dockerd" not in guest(clean_lab, PLAIN, "ls /usr/sbin")


@pytest.mark.long
def test_a_clone_of_a_template_is_confined_though_its_source_is_not(clean_lab, tmp_path):
    before = conf(clean_lab, 900)
    assert "lxc.apparmor.profile: unconfined" in before
    clone = entry(CLONE, clone_from_ctid=900, **DOCKER)
    del clone["template"]
    clean_lab.ssh(WATCH)
    done = create(fleet(tmp_path, {CLONE: clone}))
    assert done.returncode == 0, done.stderr
    assert clean_lab.label(CLONE) == ENFORCED
    guest(clean_lab, CLONE, IMPORT)
    assert hello(clean_lab, CLONE) == "it works"
    began = programs(clean_lab)
    first = next(place for place, (program, _) in enumerate(began) if "/systemd/systemd" in program)
    assert {label for _, label in began[first:]} == {"lxc-docker-nested"}
    assert conf(clean_lab, 900) == before


@pytest.mark.long
def test_a_snapshot_is_taken_of_it_once_it_is_proven(clean_lab, tmp_path):
    more = {"storage_pool": "thin", "template_snapshot_name": "pre-configured"}
    file = fleet(tmp_path, {PLAIN: entry(PLAIN, **more)})
    done = create(file)
    assert done.returncode == 0, done.stderr
    assert "pre-configured" in clean_lab.ssh(f"pct listsnapshot {PLAIN}").stdout
    assert "[pre-configured]" in conf(clean_lab, PLAIN)
    clone = entry(CLONE, clone_from_ctid=PLAIN, storage_pool="thin")
    del clone["template"]
    done = create(fleet(tmp_path, {PLAIN: entry(PLAIN, **more), CLONE: clone}))
    assert done.returncode == 0, done.stderr
    assert is_there(clean_lab, CLONE)


@pytest.mark.long
def test_a_dataset_is_made_for_it_and_outlives_it(clean_lab, tmp_path):
    Lab(REPO).zfs()
    volume = {"pool": "tank", "name": "made", "mount_point": "/srv/made", "size_gb": 1}
    more = {"storage_pool": "local-zfs", "zfs_volumes": [volume]}
    done = create(fleet(tmp_path, {PLAIN: entry(PLAIN, **more)}))
    assert done.returncode == 0, done.stderr
    assert f"rootfs: local-zfs:subvol-{PLAIN}-disk-0,size=4G" in conf(clean_lab, PLAIN)
    assert clean_lab.ssh("zfs get -Hpo value quota tank/made").stdout == f"{1 << 30}\n"
    guest(clean_lab, PLAIN, "echo kept >/srv/made/file")
    assert clean_lab.ssh("stat -c %u /tank/made/file").stdout == "100000\n"
    undone = pyinfra("rollback", "-y", force="created")
    assert undone.returncode == 0, undone.stderr
    assert not is_there(clean_lab, PLAIN)
    assert clean_lab.ssh("zfs list -Ho name").stdout.split().count("tank/made") == 1
    assert f"subvol-{PLAIN}-disk-0" not in clean_lab.ssh("zfs list -Ho name").stdout
    assert clean_lab.ssh("cat /tank/made/file").stdout == "kept\n"


@pytest.fixture(scope="module")
def run(lab, tmp_path_factory):
    """The node and the moments of a run that makes CT 971, which has no Docker."""
    lab.reset()
    file = fleet(tmp_path_factory.mktemp("moments"), {PLAIN: entry(PLAIN)})
    found = moments(lab, "create", "making", fleet=file)
    assert lab.label(PLAIN).startswith(f"lxc-{PLAIN}_")
    yield lab, file, found
    for moment in found:
        Lab(REPO).forget(moment.tag)


def finished(node, file):
    done = create(file)
    assert done.returncode == 0, done.stderr
    assert node.label(PLAIN).startswith(f"lxc-{PLAIN}_")
    assert "lock:" not in conf(node, PLAIN)
    assert left(node, PLAIN).count("vm-971-disk-") == 1
    before = state(node)
    assert create(file).returncode == 0
    assert state(node) == before


@pytest.mark.long
@pytest.mark.parametrize("line", [1, -2, -1], ids=["intent", "started", "done"])
@pytest.mark.parametrize("node_dies", [True, False], ids=["node", "operator"])
def test_what_was_cut_short_is_gone_or_finished_after_the_next_run(run, line, node_dies):
    node, file, found = run
    lines = [moment for moment in found if "journal.jsonl" in moment.synced]
    with at(node, lines[line], node_dies=node_dies):
        finished(node, file)


@pytest.mark.long
def test_a_run_that_is_killed_while_pct_unpacks_leaves_nothing(clean_lab, tmp_path):
    file = fleet(tmp_path, {PLAIN: entry(PLAIN)})
    with subprocess.Popen(
        command("create", "-y", fleet=file),
        cwd=REPO,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as killed:
        clean_lab.ssh(f"until [ -e /var/lib/lxc/{PLAIN}/rootfs/usr ]; do sleep 0.2; done")
        clean_lab.ssh(KILL, check=False)
    assert killed.returncode != 0
    assert not is_there(clean_lab, PLAIN)
    done = create(file)
    assert done.returncode == 0, done.stderr
    assert clean_lab.label(PLAIN).startswith(f"lxc-{PLAIN}_")
