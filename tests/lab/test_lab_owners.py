"""What the owner runs in a container: it runs again after harden, or harden takes itself back.

The stack here needs what the profile refuses: one of its containers has the guest's /proc under
another name.
"""

from __future__ import annotations

import json
import re

import pytest
from conftest import CHECKOUT, Node
from on_node import ENFORCED, conf, pyinfra

from lab.vm import Lab
from phoenix.plan.workarounds import MASK

pytestmark = pytest.mark.lab

ENTRY = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}
STACK = """
    run="docker run -d --pull never --init --restart always"
    $run --name web --health-cmd 'ls /etc/passwd' --health-interval 5s \
        hello:lab httpd -f -p 80 -h /etc >/dev/null
    $run --name monitor -v /proc:/p:ro hello:lab sleep 10000 >/dev/null
    docker run -d --pull never --init --name by-hand hello:lab sleep 10000 >/dev/null
    systemd-run -q --unit by-hand sleep 10000
    until [ "$(docker inspect -f '{{.State.Health.Status}}' web)" = healthy ]; do sleep 0.5; done
"""
RUNNING = "docker ps --format '{{.Names}}' | sort | xargs"
LISTENS = "busybox wget -q -O - http://127.0.0.1:8088/hostname"


def inside(node, script):
    return node.ssh("lxc-attach -n 952 -- sh -e", input=script).stdout.strip()


@pytest.fixture(scope="module")
def stack(lab, tmp_path_factory):
    """CT 952 with that stack, saved as it is; gives the fleet file."""
    lab.reset()
    inside(lab, STACK)
    Lab(CHECKOUT).save("stack")
    path = tmp_path_factory.mktemp("owners") / "fleet.json"
    path.write_text(json.dumps({"lxc_configs": {"952": ENTRY}}))
    yield path
    Lab(CHECKOUT).forget("stack")


@pytest.fixture
def node(stack):
    return Node(Lab(CHECKOUT).load("stack"))


def test_it_is_known_before_and_nothing_restarts(stack, node):
    before = conf(node, 952)
    done = pyinfra("harden", "-y", fleet=stack)
    assert done.returncode == 1
    assert "container monitor binds /proc at /p, which lxc-docker-nested refuses" in done.stderr
    assert "--data accept=monitor" in done.stderr
    assert conf(node, 952) == before
    assert inside(node, RUNNING) == "by-hand monitor web"


@pytest.mark.long
def test_with_force_it_is_found_by_the_gate_and_all_is_as_it_was(stack, node):
    before = conf(node, 952)
    done = pyinfra("harden", "-y", fleet=stack, force="true")
    assert done.returncode == 1
    said = done.stderr
    assert "CT 952: container monitor is " in said
    assert "permission denied" in said
    assert "FAILED what its owner runs works as before" in said
    assert 'apparmor="DENIED" operation="mount"' in said
    assert 'srcname="/proc/"' in said
    # what nobody starts at boot is not missed
    assert "by-hand" not in said
    assert "not back with the old conf" not in said
    assert conf(node, 952) == before
    assert node.label(952) == "unconfined"
    assert inside(node, RUNNING) == "monitor web"


SECURITYFS = "lxc.mount.entry: /sys/kernel/security sys/kernel/security none bind,optional 0 0"


@pytest.mark.long
def test_its_owner_may_go_without_it_also_where_docker_sees_apparmor(stack, node):
    # as Proxmox has it for ostype: ubuntu
    main, _, snapshots = conf(node, 952).partition("\n[")
    node.ssh("cat >/etc/pve/lxc/952.conf", input=f"{main}\n{SECURITYFS}\n\n[{snapshots}")
    done = pyinfra("harden", "-y", fleet=stack, accept="monitor", settle=5)
    assert done.returncode == 0, done.stderr
    assert "CT 952: ok what its owner runs works as before" in done.stderr
    assert node.label(952) == ENFORCED
    assert inside(node, RUNNING) == "web"
    assert f"\n{MASK.line}\n" in conf(node, 952)


#: A project as people have them: it waits for what it depends on, and has a disk of its own.
PROJECT = """
services:
  db:
    image: "hello:lab"
    command: sh -c 'echo up >/state/up; exec sleep 10000'
    init: true
    restart: always
    volumes: ["state:/state", "media:/media"]
    healthcheck: {test: ["CMD", "cat", "/state/up"], interval: 5s, timeout: 60s, retries: 30}
  app:
    image: "hello:lab"
    command: httpd -f -p 80 -h /etc
    init: true
    restart: unless-stopped
    ports: ["8081:80"]
    depends_on: {db: {condition: service_healthy}}
volumes:
  state: {}
  media: {driver: local, driver_opts: {type: none, o: bind, device: /srv/media}}
"""
UP = f"""
    until docker info; do sleep 1; done
    docker import -c 'CMD ["/bin/sh"]' /usr/share/lab/hello.tar hello:lab
    mkdir -p /srv/project /srv/media
    cat >/srv/project/compose.yaml <<'EOF'
{PROJECT}
EOF
    docker compose --project-directory /srv/project up -d --pull never --wait
"""


@pytest.mark.long
def test_projects_on_the_image_store_and_on_overlay2_come_back_whole(lab, tmp_path):
    lab.reset()
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {"957": ENTRY, "958": ENTRY}}))
    for ctid in (957, 958):
        lab.ssh(f"pct start {ctid}")
        lab.ssh(f"lxc-attach -n {ctid} -- sh -e", input=UP)
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    for ctid in (957, 958):
        assert f"CT {ctid}: ok what its owner runs works as before" in done.stderr
        assert lab.label(ctid) == ENFORCED
        assert lab.ssh(f"lxc-attach -n {ctid} -- {RUNNING}").stdout.split() == [
            "project-app-1",
            "project-db-1",
        ]


PODMAN = """
    apt-get -qq update && apt-get -qq -y install podman crun </dev/null >/dev/null
    podman import -q -c 'CMD ["/bin/sh"]' /usr/share/lab/hello.tar localhost/hello:lab
    run="podman run -d --stop-signal KILL --network host --restart always"
    $run --name web --health-cmd 'ls /etc/passwd' --health-interval 5s \
        hello:lab httpd -f -p 8088 -h /etc
    podman run -d --stop-signal KILL --network none --name by-hand hello:lab sleep 10000
    systemctl enable podman-restart.service
    until [ "$(podman inspect -f '{{.State.Health.Status}}' web)" = healthy ]; do sleep 0.5; done
"""


@pytest.mark.long
def test_what_podman_starts_at_boot_is_missed_until_it_runs_again(lab, tmp_path):
    lab.reset()
    fleet = tmp_path / "fleet.json"
    entry = {"apparmor_profile": "generated", "pct_options": ["nesting=1", "keyctl=1"]}
    fleet.write_text(json.dumps({"lxc_configs": {"953": entry}}))
    lab.ssh("lxc-attach -n 953 -- sh -e", input=PODMAN)
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert "CT 953: ok what its owner runs works as before" in done.stderr
    assert lab.label(953).startswith("lxc-953_")
    noted = lab.ssh("cat /var/lib/phoenix-harden/runs/*/953/works").stdout
    assert re.search(r"^podman running healthy always [0-9]+ web$", noted, re.MULTILINE)
    running = "lxc-attach -n 953 -- podman ps --format '{{.Names}}'"
    assert lab.ssh(running).stdout.split() == ["web"]


#: As most guests with Alpine are: no systemd, Docker started by OpenRC.
OPENRC = """
    apt-get -qq update
    apt-get -qq -y --allow-remove-essential install \
        openrc sysvinit-core initscripts systemd-sysv- </dev/null >/dev/null
    cat >/etc/init.d/listens <<'EOF'
#!/sbin/openrc-run
command=/bin/busybox
command_args="httpd -f -p 8088 -h /etc"
command_background=true
pidfile=/run/listens.pid
EOF
    chmod 755 /etc/init.d/listens
    rc-update add listens default
    rc-update add docker default
"""


@pytest.mark.long
def test_a_guest_without_systemd_is_proven_as_others_are(lab, tmp_path):
    lab.reset()
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {"952": ENTRY}}))
    inside(lab, OPENRC)
    lab.ssh("pct stop 952 && pct start 952")
    inside(lab, "until docker info && rc-status | grep 'listens.*started'; do sleep 1; done")
    inside(
        lab, "docker run -d --pull never --init --restart always --name web hello:lab sleep 10000"
    )
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert "CT 952: ok what its owner runs works as before" in done.stderr
    assert lab.label(952) == ENFORCED
    assert inside(lab, RUNNING) == "web"
    noted = lab.ssh("cat /var/lib/phoenix-harden/runs/*/952/works").stdout
    for line in ("unit active running listens", "boots listens", "port 8088 listens"):
        assert f"\n{line}\n" in noted
    assert inside(lab, LISTENS) == "qdrant-VSCodeRag"


#: What moves by itself, and what no restart brings back.
AT_BOOT = "[Install]\nWantedBy=multi-user.target\n"
UNITS = {
    "listens.service": f"[Service]\nExecStart=/bin/busybox httpd -f -p 8088 -h /etc\n{AT_BOOT}",
    "short.service": f"[Service]\nType=oneshot\nExecStart=/bin/sleep 2\n{AT_BOOT}",
    "short.timer": "[Timer]\nOnActiveSec=5\nOnUnitActiveSec=7\n[Install]\nWantedBy=timers.target\n",
    "fails.service": "[Service]\nExecStart=/bin/false\n",
}
RESTLESS = """
    docker rm -f monitor
    docker run -d --pull never --init --restart on-failure --name job hello:lab sleep 10000
    docker run --pull never --name once hello:lab true
    systemctl daemon-reload
    systemctl enable --now listens.service short.timer
    systemctl enable short.service
    ! systemctl start --wait fails.service
    systemd-run -q --unit by-hand-listens busybox httpd -f -p 8099
"""


@pytest.mark.long
def test_ten_restarts_of_a_guest_in_which_much_moves_pass_ten_times(stack, node):
    for name, text in UNITS.items():
        inside(node, f"cat >/etc/systemd/system/{name} <<'EOF'\n{text}EOF")
    inside(node, RESTLESS)
    for number in range(10):
        profile = ("lxc-phoenix-v2", "lxc-docker-nested")[number % 2]
        done = pyinfra("harden", "-y", fleet=stack, profile=profile)
        assert done.returncode == 0, (number, done.stderr)
        assert "CT 952: ok what its owner runs works as before" in done.stderr
        assert node.label(952) == f"{profile} (enforce)"
        assert inside(node, LISTENS) == "qdrant-VSCodeRag"
