"""harden on confs as people leave them: exactly the intended lines change."""

from __future__ import annotations

import base64
import difflib
import json
import subprocess

import pytest
from on_node import ENFORCED, REPO, command, conf, pyinfra

pytestmark = pytest.mark.lab

ODD = (
    "#the build host%2C kept by hand\r\n"
    "arch: amd64\r\n"
    "cores: 1\r\n"
    "cores: 1\r\n"
    "features: nesting=1\r\n"
    "hostname: build-spare\r\n"
    "memory: 384\r\n"
    "this line means nothing\r\n"
    "net0: name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:00:09:60,"
    "ip=10.10.10.160/24,type=veth\r\n"
    "ostype: debian\r\n"
    "rootfs: local:960/vm-960-disk-0.raw,size=4G\r\n"
    "swap: 0\r\n"
    "unprivileged: 1\r\n"
    "lxc.apparmor.profile = unconfined\r\n"
    "lxc.environment: A=1\r\n"
    "lxc.environment: B=2\r\n"
    "\r\n"
    "[pve:pending]\r\n"
    "memory: 400\r\n"
    "\r\n"
    "[one]\r\n"
    "arch: amd64\r\n"
    "features: nesting=1\r\n"
    "lxc.apparmor.profile: unconfined\r\n"
    "\r\n"
    "[two]\r\n"
    "arch: amd64\r\n"
    "lxc.apparmor.profile = unconfined"  # and no newline
)


@pytest.fixture
def odd(clean_lab, tmp_path):
    """The lab with an odd conf for the stopped 960, and a fleet file for it alone."""
    clean_lab.ssh("cat >/etc/pve/lxc/960.conf", input=ODD)
    fleet = tmp_path / "fleet.json"
    entry = {
        "features": ["docker"],
        "pct_options": ["nesting=1", "keyctl=1"],
        "apparmor_profile": "lxc-docker-nested",
        "lxc_options": ["lxc.environment=TZ=UTC"],
    }
    fleet.write_text(json.dumps({"lxc_configs": {"960": entry}}))
    return clean_lab, fleet


def changed_lines(before, after):
    diff = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in diff if line[0] in "+-"]


def text_of(node, ctid):
    """The conf with its line ends as they are."""
    return base64.b64decode(node.ssh(f"base64 /etc/pve/lxc/{ctid}.conf").stdout).decode()


def test_exactly_the_intended_lines_change_and_a_second_run_agrees(odd):
    node, fleet = odd
    assert text_of(node, 960) == ODD
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert changed_lines(ODD, text_of(node, 960)) == [
        "- features: nesting=1\r\n",
        "+ features: nesting=1,keyctl=1\r\n",
        "- lxc.apparmor.profile = unconfined\r\n",
        "+ lxc.apparmor.profile: lxc-docker-nested\r\n",
        "+ lxc.environment: TZ=UTC\r\n",
    ]
    assert "memory waits in [pve:pending] for the next start" in done.stderr

    again = pyinfra("harden", "-y", fleet=fleet)
    assert "pve-lab: nothing to change" in again.stderr

    shown = node.ssh("pct config 960 --current").stdout
    assert "features: nesting=1,keyctl=1\n" in shown
    assert "lxc.apparmor.profile: lxc-docker-nested\n" in shown
    assert node.ssh("pct start 960; pct status 960").stdout.endswith("status: running\n")
    assert node.label(960) == ENFORCED


@pytest.mark.long
def test_a_pct_set_during_the_run_and_the_run_lose_neither_change(clean_lab):
    """`pct set` comes between planning 956 and committing it: while 953 restarts before it."""
    with subprocess.Popen(
        command("harden", "-y", only="953,956"), cwd=REPO, stderr=subprocess.PIPE, text=True
    ) as run:
        said = []
        for line in run.stderr:
            said.append(line)
            if "CT 953: restarted" in line:
                clean_lab.ssh("pct set 956 --description 'set meanwhile'")
    assert run.returncode == 0, "".join(said)
    assert any("somebody changed /etc/pve/lxc/956.conf" in line for line in said)
    now = conf(clean_lab, 956)
    assert now.startswith("#set meanwhile\n")
    assert "lxc.apparmor.profile: lxc-docker-nested\n" in now
    assert clean_lab.label(956) == ENFORCED


@pytest.mark.long
def test_what_a_run_added_goes_when_the_file_no_longer_has_it(odd):
    node, fleet = odd
    assert pyinfra("harden", "-y", fleet=fleet).returncode == 0
    entries = json.loads(fleet.read_text())
    entries["lxc_configs"]["960"].update(lxc_options=[], pct_options=["nesting=1"])
    fleet.write_text(json.dumps(entries))
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    now = conf(node, 960)
    assert "TZ=UTC" not in now
    assert "lxc.environment: A=1" in now
    assert "features: nesting=1\n" in now.replace("\r", "")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            "pct set 956 --features nesting=1,mknod=1",
            "a restart would apply these pending changes",
        ),
        ("sed -i '1i lock: backup' /etc/pve/lxc/956.conf", "left alone: locked (backup)"),
        (
            "mkdir -p /etc/pve/ha && echo 'ct: 956' >/etc/pve/ha/resources.cfg",
            "left alone: managed by HA (started)",
        ),
        (
            "mkdir -p /etc/pve/ha && echo 'ct: 956' >/etc/pve/ha/resources.cfg && "
            """echo '{"disarm": {"mode": "freeze", "state": "disarmed"}}' """
            ">/etc/pve/ha/manager_status",
            "left alone: managed by HA (frozen)",
        ),
        (
            r"printf '\n[pve:pending]\nlxc.environment.runtime: A=1\n' >>/etc/pve/lxc/956.conf",
            "a restart would apply these pending changes",
        ),
    ],
    ids=["pending", "locked", "ha", "ha-frozen", "pending-env"],
)
def test_a_container_that_is_not_ours_to_restart_is_refused_by_name(clean_lab, prepare, said):
    clean_lab.ssh(prepare)
    before, pid = conf(clean_lab, 956), clean_lab.ssh("lxc-info -n 956 -pH").stdout
    done = pyinfra("harden", "-y", only=956)
    assert done.returncode == 1
    assert said in done.stderr
    assert conf(clean_lab, 956) == before
    assert clean_lab.ssh("lxc-info -n 956 -pH").stdout == pid
    assert clean_lab.ssh("ls -d /var/lib/phoenix-harden", check=False).stdout == ""
