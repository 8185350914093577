"""A hookscript that writes `unconfined` back at each start, as Proxmox runs it: for real."""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, conf, pyinfra

pytestmark = pytest.mark.lab

VOLUME = "local:snippets/docker-unconfined.sh"
PATH = "/var/lib/vz/snippets/docker-unconfined.sh"
#: As it stands in guides: it takes whatever profile there is out of the main section.
SCRIPT = """\
#!/bin/sh
[ "$2" = pre-start ] || exit 0
sed -i '1,/^\\[/s/^lxc.apparmor.profile:.*/lxc.apparmor.profile: unconfined/' /etc/pve/lxc/$1.conf
"""
ENTRY = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested", "storage_driver": "keep"}


@pytest.fixture
def hooked(clean_lab, tmp_path):
    """CT 952 with that script, started with it once; gives node and fleet file."""
    node = clean_lab
    node.ssh(f"mkdir -p {PATH.rpartition('/')[0]}; cat >{PATH}; chmod 755 {PATH}", input=SCRIPT)
    node.ssh(f"pct set 952 --hookscript {VOLUME} && pct reboot 952")
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {"952": ENTRY}}))
    return node, fleet


def test_a_hookscript_that_undoes_us_ends_in_the_old_state_with_its_name_in_the_message(hooked):
    node, fleet = hooked
    before = conf(node, 952)
    assert node.label(952) == "unconfined"
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 1, done.stderr
    assert f"hookscript {VOLUME} runs on the node at each start and undoes" in done.stderr
    assert "says lxc.apparmor.profile: unconfined" in done.stderr
    assert "FAILED the start has left its conf alone" in done.stderr
    row = next(line for line in done.stderr.splitlines() if line.startswith("952 "))
    assert f"restored: its hookscript {VOLUME} undid the new conf at the start" in row
    assert conf(node, 952) == before
    assert node.label(952) == "unconfined"


@pytest.mark.long
def test_with_the_script_gone_it_is_done_and_stays_so_over_a_restart(hooked):
    node, fleet = hooked
    node.ssh("pct set 952 --delete hookscript")
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert "CT 952: ok its next start will be the same" in done.stderr
    node.ssh("pct reboot 952")
    assert node.label(952) == ENFORCED
