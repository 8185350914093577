"""What a run may be told to have first: a verified backup, the node's configuration archived."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime, timedelta

import pytest
from on_node import conf, pyinfra, state

pytestmark = pytest.mark.lab


def serve(node, verification):
    """Give the node a backup server with a backup of CT 953 that is two hours old."""
    when = f"{datetime.now(UTC) - timedelta(hours=2, minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    volume = {"volid": f"pbs:backup/ct/953/{when}", "subtype": "lxc", "vmid": 953, **verification}
    node.ssh("cat >/etc/pve/storage.cfg", input="pbs: pbs\n\tserver 10.0.0.2\n\tdatastore main\n")
    for tool, said in {
        "pvesm": f"{volume['volid']} pbs-ct backup 1 953",
        "pvesh": json.dumps([volume]),
    }.items():
        text = f"#!/bin/sh\ncat <<'E'\n{said}\nE\n"
        node.ssh(f"cat >/usr/sbin/{tool} && chmod 755 /usr/sbin/{tool}", input=text)


@pytest.mark.parametrize(
    ("verification", "shown", "why"),
    [
        ({}, "2 h, not verified", "no verified backup (one on pbs is 2 h old and not verified)"),
        ({"verification": {"state": "ok", "upid": "UPID:x"}}, "2 h, verified", None),
    ],
)
def test_what_a_backup_server_has_verified_is_shown_and_insisted_on(
    clean_lab, verification, shown, why
):
    serve(clean_lab, verification)
    done = pyinfra("harden", "--dry", only=953, require_backup=24)
    assert done.returncode == 0, done.stderr
    assert f"yes      {shown}  profile: unconfined" in done.stderr
    done = pyinfra("harden", "--dry", only=953, require_backup="24,verified")
    assert done.returncode == (1 if why else 0), done.stderr
    assert (why or f"yes      {shown}  profile: unconfined") in done.stderr


@pytest.mark.long
def test_the_nodes_configuration_of_before_the_run_is_kept_on_this_machine(clean_lab, tmp_path):
    clean_lab.ssh("mkdir -p /etc/pve/priv && echo SECRET >/etc/pve/priv/authkey.key")
    before, profiles = conf(clean_lab, 953), clean_lab.ssh("ls /etc/apparmor.d").stdout.split()
    untouched = state(clean_lab)
    dry = pyinfra("harden", "--dry", only=953, backup=tmp_path / "kept")
    assert dry.returncode == 0, dry.stderr
    assert not (tmp_path / "kept").exists()
    assert state(clean_lab) == untouched

    done = pyinfra("harden", "-y", only=953, backup=tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert conf(clean_lab, 953) != before
    (file,) = (tmp_path / "kept").iterdir()
    run = clean_lab.ssh("ls /var/lib/phoenix-harden/runs").stdout.strip()
    assert file.name == f"pve-lab-{run}.tar.gz"
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        kept = tar.extractfile("etc/pve/nodes/pve-lab/lxc/953.conf")
        assert kept is not None
        assert kept.read().decode() == before
        names = tar.getnames()
    assert {f"etc/apparmor.d/{name}" for name in profiles} <= {*names}
    assert not any("priv" in name.split("/") for name in names)
