"""Rules for the generated profile, workarounds removed, and the denials of both, for real."""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, conf, pyinfra, state

pytestmark = pytest.mark.lab

RULE = "audit deny /etc/debian_version r,"
#: systemd reads it at every boot, and does without
AT_BOOT = "audit deny /etc/hostname r,"
N8N = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
WORKAROUNDS = (
    "lxc.cgroup2.devices.allow: a",
    "lxc.mount.entry: /dev/null sys/module/apparmor/parameters/enabled none bind 0 0",
)
TUN = "lxc.cgroup2.devices.allow: c 10:200 rwm"


def write_fleet(folder, *rules):
    fleet = folder / "fleet.json"
    containers = {"953": {"apparmor_raw": list(rules)}, "954": N8N}
    fleet.write_text(json.dumps({"lxc_configs": containers}))
    return fleet


@pytest.fixture(scope="module")
def hardened(lab, tmp_path_factory):
    """CT 953 with a rule of its own, CT 954 without workarounds: node, fleet and the run."""
    lab.reset()
    # one device of its own stays
    lab.ssh(f"echo '{TUN}' >>/etc/pve/lxc/954.conf")
    assert all(line in conf(lab, 954) for line in WORKAROUNDS)
    fleet = write_fleet(tmp_path_factory.mktemp("fleet"), RULE, AT_BOOT)
    return lab, fleet, pyinfra("harden", "-y", fleet=fleet, reconfine="true")


def test_a_rule_is_in_the_profile_that_lxc_generated_and_has_its_effect(hardened):
    node, _, done = hardened
    assert done.returncode == 0, done.stderr
    assert f"lxc.apparmor.raw: {RULE}" in conf(node, 953)
    assert node.label(953).startswith("lxc-953_</var/lib/lxc>//&")
    assert RULE in node.ssh("cat /var/lib/lxc/953/apparmor/lxc-953*").stdout.splitlines()
    read = node.ssh("lxc-attach -n 953 -- cat /etc/debian_version </dev/null", check=False)
    assert "Permission denied" in read.stderr


def test_what_was_denied_while_everything_worked_is_a_warning(hardened):
    _, _, done = hardened
    warning = "CT 953: warning: it works, and AppArmor denied since the restart:"
    _, _, rest = done.stderr.partition(warning)
    assert 'name="/etc/hostname"' in rest.partition("CT 953: done")[0]


def test_workarounds_are_gone_and_docker_works_with_the_one_device_that_stays(hardened):
    node, _, done = hardened
    now = conf(node, 954)
    assert [line for line in WORKAROUNDS if line in now] == []
    assert TUN in now
    assert node.label(954) == ENFORCED
    assert "CT 954: ok a container of our own runs and answers" in done.stderr


def test_the_audit_tells_the_denial_and_no_workaround_any_more(hardened):
    node, fleet, _ = hardened
    node.ssh("lxc-attach -n 953 -- cat /etc/debian_version </dev/null", check=False)
    done = pyinfra("audit", "-y", fleet=fleet, only="953,954", strict="true")
    assert done.returncode == 0, done.stderr
    assert "pve-lab: denied since each container's start (audit.log):" in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "read /etc/debian_version" in line]
    assert line.startswith("  CT 953 ")
    assert "by cat under lxc-953_</var/lib/lxc>, last " in line
    assert "workaround" not in done.stderr


def test_a_rule_that_does_not_compile_is_refused_and_nothing_changes(hardened, tmp_path):
    node, _, _ = hardened
    before = state(node)
    fleet = write_fleet(tmp_path, RULE, "capability no_such_thing,")
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 1
    assert "pve-lab: CT 953: lxc_configs.953.apparmor_raw[1]: does not compile" in done.stderr
    assert "apparmor_raw[0]" not in done.stderr
    assert state(node) == before
