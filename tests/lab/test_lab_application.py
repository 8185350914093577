"""A container that is one program, as Proxmox VE 9.1 makes it of an OCI image, on a real kernel.

It has a user of its own, no shell, no systemd and no package: what is known of it is known from the
node.
"""

from __future__ import annotations

import json

import pytest
from on_node import conf, pyinfra

from phoenix.apparmor.observed import Label, generated_profile

pytestmark = pytest.mark.lab

CTID = 961
ASK = (
    "python3 -c 'import urllib.request as u;"
    ' print(u.urlopen("http://10.10.10.161:8080/index.html", timeout=20).read().decode())\''
)
PENDING = "\n[pve:pending]\nlxc.environment.runtime: LISTEN=secret\n"


@pytest.fixture
def node(clean_lab):
    clean_lab.ssh(f"/usr/lib/phoenix-lab/oci-guest && pct start {CTID}")
    assert answer(clean_lab) == "it works"
    return clean_lab


@pytest.fixture
def fleet(tmp_path):
    def write(**entry):
        path = tmp_path / "fleet.json"
        path.write_text(json.dumps({"lxc_configs": {str(CTID): entry}}))
        return path

    return write


def answer(node):
    return node.ssh(f"for _ in 1 2 3 4 5 6; do {ASK} && exit; sleep 1; done").stdout.strip()


def owner_of_init(node):
    return node.ssh(f"stat -c %u /proc/$(lxc-info -n {CTID} -pH)").stdout.strip()


@pytest.mark.long
def test_it_has_no_shell_and_is_not_root(node):
    assert node.ssh(f"lxc-attach -n {CTID} -- sh -c true", check=False).returncode == 127
    assert owner_of_init(node) == "101000"


@pytest.mark.parametrize(
    "profile", ["generated", pytest.param("lxc-docker-nested", marks=pytest.mark.long)]
)
def test_it_is_confined_and_proven_from_the_node(node, fleet, profile):
    written = fleet(apparmor_profile=profile)
    done = pyinfra("harden", "-y", fleet=written)
    assert done.returncode == 0, done.stderr
    label = Label.parse(node.label(CTID))
    wanted = generated_profile(CTID) if profile == "generated" else profile
    assert (label.profile, label.mode, label.confined) == (wanted, "enforce", True)
    assert "one program: nothing in it is asked" in done.stderr
    assert "its open ports (8080)" in done.stderr
    assert f"CT {CTID}: ok what its owner runs works as before" in done.stderr
    assert (answer(node), owner_of_init(node)) == ("it works", "101000")
    now = conf(node, CTID)
    assert "entrypoint: /httpd -f -p 8080 -h /www\n" in now
    assert "lxc.init.uid: 1000\n" in now
    audit = pyinfra("audit", "-y", fleet=written, only=CTID, strict="true")
    assert audit.returncode == 0, audit.stderr


def test_a_rule_under_which_its_program_cannot_listen_brings_the_old_state_back(node, fleet):
    before = conf(node, CTID)
    rules = ["deny network inet stream,", "deny network inet6 stream,"]
    written = fleet(apparmor_profile="generated", apparmor_raw=rules)
    done = pyinfra("harden", "-y", fleet=written)
    assert done.returncode == 1
    assert "the old conf is back and the container runs with it" in done.stderr
    assert conf(node, CTID) == before
    assert (node.label(CTID), answer(node)) == ("unconfined", "it works")


@pytest.mark.long
def test_variables_that_wait_are_applied_with_force_alone(node, fleet):
    written = fleet(apparmor_profile="generated")
    before = conf(node, CTID)
    node.ssh(f"cat >>/etc/pve/lxc/{CTID}.conf", input=PENDING)
    done = pyinfra("harden", "-y", fleet=written, only=CTID)
    assert done.returncode == 1
    assert "env (LISTEN) waits in [pve:pending]" in done.stderr
    assert "secret" not in done.stderr
    assert conf(node, CTID) == before + PENDING
    done = pyinfra("harden", "-y", fleet=written, only=CTID, force="pending")
    assert done.returncode == 0, done.stderr
    now = conf(node, CTID)
    assert "lxc.environment.runtime: LISTEN=secret\n" in now
    assert "[pve:pending]" not in now
    assert node.label(CTID) != "unconfined"


@pytest.mark.long
def test_lines_that_wait_and_would_take_the_place_of_the_profile_are_never_applied(node, fleet):
    written = fleet(apparmor_profile="generated")
    waiting = "\n[pve:pending]\nlxc.apparmor.profile: unconfined\n"
    node.ssh(f"cat >>/etc/pve/lxc/{CTID}.conf", input=waiting)
    before = conf(node, CTID)
    done = pyinfra("harden", "-y", fleet=written, force="true")
    assert done.returncode == 1
    assert "lxc.apparmor.profile in [pve:pending]" in done.stderr
    assert (conf(node, CTID), node.label(CTID)) == (before, "unconfined")
