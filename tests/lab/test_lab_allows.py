"""What one container is granted beyond the others: it has it, nobody else has, it can be undone."""

from __future__ import annotations

import json

import pytest
from confined import in_guest, results, text
from on_node import conf, pyinfra, standing

from phoenix.allows import ALLOWS

pytestmark = pytest.mark.lab

OWN = "lxc-docker-nested-954"
ENTRY = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}
GRANTED = {**ENTRY, "apparmor_allows": [*ALLOWS], "apparmor_audit": ["/etc"]}
# as log2ram and those who bind their data have it
FSTAB = """
    mkdir -p /srv/log /srv/data /srv/seen
    echo 'ram /srv/log tmpfs size=1m 0 0' >>/etc/fstab
    echo '/srv/data /srv/seen none bind 0 0' >>/etc/fstab
    systemctl daemon-reload
    systemctl restart local-fs.target srv-log.mount srv-seen.mount
"""
MOUNTED = "systemctl is-active srv-log.mount srv-seen.mount"


@pytest.fixture
def fleet(tmp_path):
    """Writes a fleet file that has CT 954 as it is given."""

    def write(entry):
        path = tmp_path / "fleet.json"
        path.write_text(json.dumps({"lxc_configs": {"954": entry}}))
        return path

    return write


def test_it_works_is_logged_and_goes_with_a_rollback(clean_lab, fleet):
    in_guest(clean_lab, 954, FSTAB)
    before = standing(clean_lab)

    done = pyinfra("harden", "--dry", fleet=fleet(ENTRY))
    assert "/etc/fstab mounts /srv/log (tmpfs), which lxc-docker-nested refuses" in done.stderr
    assert '"apparmor_allows": ["guest-mounts"]' in done.stderr

    file = fleet(GRANTED)
    done = pyinfra("harden", "-y", fleet=file)
    assert done.returncode == 0, done.stderr
    assert clean_lab.label(954) == f"{OWN} (enforce)"
    assert in_guest(clean_lab, 954, MOUNTED).split() == ["active", "active"]
    said = results(in_guest(clean_lab, 954, text("allows.sh")))
    assert [line for line in said.values() if not line.startswith("PASS ")] == []
    assert {name.partition("/")[0] for name in said} == {*ALLOWS}

    in_guest(clean_lab, 954, "echo changed >/etc/written")
    audit = pyinfra("audit", "-y", fleet=file, only=954)
    assert "logged on request" in audit.stderr
    assert "/etc/written" in audit.stderr
    assert pyinfra("harden", "-y", fleet=file).stderr.count("nothing to change") == 1

    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert f"lxc.apparmor.profile: {OWN}" not in conf(clean_lab, 954)
    assert clean_lab.label(954) == "unconfined"
    assert standing(clean_lab) == before
