"""The owner's own check: what passes before a run passes after it, on a real kernel, or it is taken
back.
"""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, conf, pyinfra

pytestmark = pytest.mark.lab

CTID = 952
ENTRY = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}
PASSED = f"CT {CTID}: ok the owner's health check passes"
FAILED = f"CT {CTID}: FAILED the owner's health check passes"

#: Listens once the guest has booted, on its loopback alone.
LISTENS = """\
[Service]
ExecStart=/bin/busybox httpd -f -p 127.0.0.1:8088 -h /etc
[Install]
WantedBy=multi-user.target
"""
LOCAL = "http://localhost:8088/hostname"
WORDS = ["busybox", "wget", "-q", "-O", "/dev/null", LOCAL]
ASKS = f"busybox wget -q -O - {LOCAL}"

#: What root in an unconfined container may do, and none under the profile.
BINDS = (
    "mkdir -p /srv/bound; mount --bind /opt /srv/bound && umount /srv/bound || "
    "{ printf 'no bind \\033[2Jfor us\\n'; exit 3; }"
)


def inside(node, script):
    return node.ssh(f"lxc-attach -n {CTID} -- sh -e", input=script).stdout.strip()


@pytest.fixture
def node(clean_lab):
    inside(clean_lab, f"cat >/etc/systemd/system/listens.service <<'EOF'\n{LISTENS}EOF")
    inside(clean_lab, "systemctl daemon-reload; systemctl enable --now listens.service")
    inside(clean_lab, f"until {ASKS}; do sleep 0.5; done")
    return clean_lab


@pytest.fixture
def harden(tmp_path):
    def run(check, *flags, **data):
        path = tmp_path / "fleet.json"
        entry = {**ENTRY, "health_check": check}
        path.write_text(json.dumps({"lxc_configs": {str(CTID): entry}}))
        return pyinfra("harden", *(flags or ("-y",)), fleet=path, **data)

    return run


@pytest.mark.parametrize(
    "check",
    [
        pytest.param({"command": f"{ASKS} | grep -q ."}, id="text"),
        pytest.param({"command": WORDS, "retries": 2}, id="list", marks=pytest.mark.long),
        pytest.param({"url": LOCAL}, id="url", marks=pytest.mark.long),
    ],
)
def test_a_check_that_passes_before_and_after_is_done(node, harden, check):
    done = harden(check)
    assert done.returncode == 0, done.stderr
    assert "its health_check is asked before and after: " in done.stderr
    assert PASSED in done.stderr
    assert node.label(CTID) == ENFORCED


def test_one_that_the_profile_breaks_is_named_and_all_is_as_it_was(node, harden):
    before = conf(node, CTID)
    done = harden({"command": BINDS, "retries": 1, "interval": 1})
    assert done.returncode == 1
    assert FAILED in done.stderr
    assert f"CT {CTID}: health_check: no bind \\x1b[2Jfor us" in done.stderr
    assert "--data accept=health_check" in done.stderr
    # so it says which rule that would take
    assert 'apparmor="DENIED"' in done.stderr
    assert "not back with the old conf" not in done.stderr
    assert (conf(node, CTID), node.label(CTID)) == (before, "unconfined")


@pytest.mark.long
def test_its_owner_may_go_without_it(node, harden):
    done = harden({"command": BINDS}, accept="health_check")
    assert done.returncode == 0, done.stderr
    assert node.label(CTID) == ENFORCED


@pytest.mark.long
def test_one_that_fails_before_is_listed_and_stops_nothing(node, harden):
    done = harden({"url": "http://localhost:8099/"})
    assert done.returncode == 0, done.stderr
    assert f"CT {CTID}: not working before, so not checked: its health_check (" in done.stderr
    assert "Connection refused" in done.stderr
    assert node.label(CTID) == ENFORCED


@pytest.mark.long
def test_a_url_is_asked_in_the_network_of_the_container_and_not_in_the_nodes(node, harden):
    node.ssh("systemd-run -q --unit of-the-node python3 -m http.server -b 127.0.0.1 8097")
    connects = "import socket; socket.create_connection(('127.0.0.1', 8097))"
    node.ssh(f'until python3 -c "{connects}"; do sleep 0.5; done')
    done = harden({"url": "http://127.0.0.1:8097/"})
    node.ssh("systemctl stop of-the-node")
    assert done.returncode == 0, done.stderr
    assert "so not checked: its health_check ([Errno 111] Connection refused)" in done.stderr


@pytest.mark.long
def test_a_rollback_asks_what_the_run_has_asked(node, harden):
    assert harden({"url": LOCAL}).returncode == 0
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert PASSED in done.stderr
    assert node.label(CTID) == "unconfined"


@pytest.mark.long
def test_a_dry_run_asks_nothing(node, harden):
    done = harden({"command": "touch /root/asked"}, "--dry")
    assert done.returncode == 0, done.stderr
    assert "its health_check is asked before and after: touch /root/asked" in done.stderr
    assert inside(node, "ls /root/asked 2>/dev/null || echo no") == "no"
