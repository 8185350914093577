"""A container that HA manages: out of its hands while it is changed, and back.

The lab has no HA stack. What stands in for it here does what the real one does every few seconds
(pve-ha-manager Manager.pm, LRM.pm): its manager tells who is managed, its LRM starts what is asked
for and does not run.
"""

from __future__ import annotations

import pytest
from on_node import ENFORCED, conf, pyinfra

pytestmark = [pytest.mark.lab, pytest.mark.long]

CTID = 910
RESOURCES = f"ct: {CTID}\n\tstate started\n"
HA_MANAGER = r"""#!/bin/sh
echo "ha-manager $*" >>/run/ha-calls
[ ! -e /run/ha-refuses ] || { echo "cluster not ready - no quorum?" >&2; exit 2; }
sed -i "s/^\tstate .*/\tstate $4/" /etc/pve/ha/resources.cfg
"""
#: A round of both services.
HA = rf"""
import json, os, re, subprocess, time
def put(path, found):
    open(path + ".new", "w").write(json.dumps(found))
    os.replace(path + ".new", path)
while True:
    asked = re.search(r"^\tstate (.*)$", open("/etc/pve/ha/resources.cfg").read(), re.MULTILINE)[1]
    one = {{"ct:{CTID}": {{"state": "started", "node": "pve-lab", "uid": "1"}}}}
    status = {{"node_status": {{"pve-lab": "online"}}, "service_status": {{}}}}
    status["service_status"] = {{}} if asked == "ignored" else one
    put("/etc/pve/ha/manager_status", status)
    said = subprocess.run(["pct", "status", "{CTID}"], capture_output=True, text=True).stdout
    if asked == "started" and "stopped" in said:
        open("/run/ha-acts", "a").write("starts it\n")
        subprocess.run(["pct", "start", "{CTID}"])
    put("/etc/pve/nodes/pve-lab/lrm_status", {{"timestamp": int(time.time()) + 1}})
    time.sleep(1)
"""


@pytest.fixture
def managed(clean_lab):
    clean_lab.ssh("mkdir -p /etc/pve/ha /etc/pve/nodes/pve-lab")
    clean_lab.ssh(f"printf '{RESOURCES}' >/etc/pve/ha/resources.cfg")
    clean_lab.ssh(f"cat >/usr/local/sbin/ha-manager <<'END'\n{HA_MANAGER}END\n")
    clean_lab.ssh("chmod 755 /usr/local/sbin/ha-manager")
    clean_lab.ssh(f"cat >/run/ha.py <<'END'\n{HA}END\n")
    clean_lab.ssh("systemd-run --quiet --unit=stand-in-ha python3 /run/ha.py")
    clean_lab.ssh("timeout 60 sh -c 'until [ -s /etc/pve/ha/manager_status ]; do sleep 1; done'")
    return clean_lab


def calls(node):
    return node.ssh("cat /run/ha-calls", check=False).stdout.splitlines()


def resources(node):
    return node.ssh("cat /etc/pve/ha/resources.cfg").stdout


def test_it_is_hardened_and_rolled_back_and_ha_never_has_anything_to_do(managed):
    before = conf(managed, CTID)
    away = f"ha-manager set ct:{CTID} --state ignored"
    dry = pyinfra("harden", "--dry", only=CTID, ha="true")
    assert f"{away}, and back to started" in dry.stderr
    assert calls(managed) == []
    done = pyinfra("harden", "-y", only=CTID, ha="true")
    assert done.returncode == 0, done.stderr
    assert managed.label(CTID) == ENFORCED
    back = f"ha-manager set ct:{CTID} --state started"
    assert calls(managed) == [away, back]
    done = pyinfra("rollback", "-y", ha="true")
    assert done.returncode == 0, done.stderr
    assert (conf(managed, CTID), resources(managed)) == (before, RESOURCES)
    assert calls(managed) == [away, back] * 2
    assert managed.ssh("cat /run/ha-acts", check=False).stdout == ""


def test_an_ha_that_refuses_stands_against_the_change_with_its_own_words(managed):
    managed.ssh("touch /run/ha-refuses")
    before, pid = conf(managed, CTID), managed.ssh(f"lxc-info -n {CTID} -pH").stdout
    done = pyinfra("harden", "-y", only=CTID, ha="true")
    assert done.returncode == 1
    assert "refused: ha-manager refuses: cluster not ready - no quorum?" in done.stderr
    assert conf(managed, CTID) == before
    assert managed.ssh(f"lxc-info -n {CTID} -pH").stdout == pid
    assert resources(managed) == RESOURCES
