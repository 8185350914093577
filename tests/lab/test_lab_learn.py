"""A stack that needs what the profile refuses: complain, learn, review, and enforced by one harden.

What is learned is for that container alone, and opens nothing of what the page of confinement says
is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from confined import denied, in_guest, result, text
from confinement import YES, probed, read
from on_node import REPO, conf, pyinfra

from phoenix.apparmor.overlay import read_overlay, rules

#: Learning takes a boot in each mode, and the whole page of probes: six minutes.
pytestmark = [pytest.mark.lab, pytest.mark.long]

CTID, NAME = 958, "lxc-docker-nested"
OWN = f"{NAME}-{CTID}"
ENTRY = {"features": ["docker"], "pct_options": ["nesting=1", "keyctl=1"], "apparmor_profile": NAME}

#: Each service mounts something at its start, by mount(2), and serves only if it could.
STACK = """
x-lab: &lab {image: "hello:lab", init: true, privileged: true, restart: unless-stopped}
services:
  union:
    <<: *lab
    volumes: ["union:/data"]
    command:
      - sh
      - -ec
      - mkdir -p /merged /data/l /data/u /data/w;
        mount -t overlay -o lowerdir=/data/l,upperdir=/data/u,workdir=/data/w overlay /merged;
        touch /merged/up; exec httpd -f -p 80 -h /merged
    ports: ["8081:80"]
  bind:
    <<: *lab
    volumes: ["bind:/data"]
    command:
      - sh
      - -ec
      - mkdir -p /data/a /srv/b; touch /data/a/up; mount -o bind /data/a /srv/b;
        exec httpd -f -p 80 -h /srv/b
    ports: ["8082:80"]
  memory:
    <<: *lab
    command:
      - sh
      - -ec
      - mkdir -p /ram; mount -t ramfs ram /ram; touch /ram/up; exec httpd -f -p 80 -h /ram
    ports: ["8083:80"]
volumes: {union: {}, bind: {}}
"""
UP = f"""
    until docker info; do sleep 1; done
    docker import -c 'CMD ["/bin/sh"]' /usr/share/lab/hello.tar hello:lab
    mkdir -p /srv/stack
    cat >/srv/stack/compose.yaml <<'EOF'
{STACK}
EOF
    docker compose --project-directory /srv/stack up -d --pull never
"""
SERVES = """
    serves() { for port in 8081 8082 8083; do
        busybox wget -q -T 5 -O /dev/null http://127.0.0.1:$port/up || return 1; done; }
    export -f serves
    timeout 300 bash -c 'until serves; do sleep 1; done'
"""
NEEDED = {
    "mount options=(rw,silent) fstype=overlay -> /merged/",
    "mount options=(rw,bind) /data/a/ -> /srv/b/",
    "mount options=(rw,silent) fstype=ramfs -> /ram/",
}


def learn(fleet, *words):
    """`phoenix learn` on this machine, which finds the lab by itself."""
    command = [sys.executable, "-m", "phoenix.cli.main", "learn", str(CTID), "--fleet", fleet]
    done = subprocess.run(
        [*command, *words],
        cwd=REPO,
        env={name: value for name, value in os.environ.items() if name != "PHOENIX_NODES"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


def harden(fleet, **entry):
    fleet.write_text(json.dumps({"lxc_configs": {str(CTID): {**ENTRY, **entry}}}))
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def learned(lab, tmp_path_factory):
    """The node, the fleet file, and what learn and the last harden said."""
    lab.reset()
    lab.ssh(f"pct start {CTID}")
    fleet = tmp_path_factory.mktemp("learn") / "fleet.json"
    harden(fleet, apparmor_own=True, mode="complain")
    assert lab.label(CTID) == f"{OWN}-complain (complain)"
    in_guest(lab, CTID, UP)
    in_guest(lab, CTID, SERVES)
    shown = learn(fleet, "--since", "1d")
    assert not (fleet.parent / "profiles.d").exists()
    learn(fleet, "--since", "1d", "--write")
    # the overlay alone gives it a profile of its own
    return lab, fleet, shown, harden(fleet)


def test_what_it_needs_is_learned_and_nothing_else(learned):
    _, fleet, shown, _ = learned
    lines, flaws = read_overlay((fleet.parent / f"profiles.d/{CTID}.rules").read_bytes())
    assert flaws == ()
    assert {str(rule) for rule in rules(lines)} == NEEDED
    # what was shown is what was written
    assert [f"+{line}\n" in shown.stdout for line in lines if line] == [True] * len(
        [line for line in lines if line]
    )
    # each says what it was seen for
    assert len([line for line in lines if line.startswith("# seen ")]) == len(NEEDED)
    assert len([line for line in lines if line.startswith("# opens: ")]) == len(NEEDED)


def test_one_harden_enforces_it_and_the_stack_works(learned):
    node, _, _, hardened = learned
    assert node.label(CTID) == f"{OWN} (enforce)"
    assert f"lxc.apparmor.profile: {OWN}\n" in conf(node, CTID)
    assert f"CT {CTID}: ok what its owner runs works as before" in hardened.stderr
    in_guest(node, CTID, SERVES)
    assert denied(node, OWN) == []


def test_nothing_is_left_to_learn_and_to_harden(learned):
    _, fleet, _, _ = learned
    assert learn(fleet, "--since", "1d").stdout == ""
    assert "nothing to change" in pyinfra("harden", "-y", fleet=fleet).stderr


def test_the_same_at_another_place_is_refused_as_before(learned):
    node, _, _, _ = learned
    run = "docker run --rm --pull never --privileged hello:lab sh -c"
    for mount in ("-t ramfs ram", "-o bind /etc", "-t overlay -o lowerdir=/etc:/bin overlay"):
        in_guest(node, CTID, f"! {run} 'mkdir /else && mount {mount} /else'")
    assert len(denied(node, OWN)) >= 3


def test_no_probe_of_the_page_of_confinement_gets_through(learned):
    node, _, _, _ = learned
    script = text("probe.sh") + text("mnt-probes.sh")
    allowed = probed(in_guest(node, CTID, script, shell="sh"))
    page = read(result("confinement"))
    refused = {action for action, row in page.items() if row[NAME] != YES}
    assert len(refused) > 50
    assert {action for action in refused if allowed[action]} == set()
