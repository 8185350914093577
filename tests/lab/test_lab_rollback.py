"""rollback on a real kernel: what others changed since stays, and what cannot go on goes back.

That all of a run is undone is the end of test_lab_docker.py, which has a run to undo.
"""

from __future__ import annotations

import json
import subprocess

import pytest
from on_node import REPO, command, conf, hello, pyinfra, standing

pytestmark = pytest.mark.lab

PROFILE = "/etc/apparmor.d/lxc-docker-nested"


def run_ids(node):
    return node.ssh("ls /var/lib/phoenix-harden/runs").stdout.split()


@pytest.mark.long
def test_an_edit_made_after_a_run_outlives_its_rollback(clean_lab):
    before = conf(clean_lab, 960)
    assert pyinfra("harden", "-y", only=960).returncode == 0
    clean_lab.ssh("pct set 960 --cores 2 --description 'changed by hand'")
    edited = conf(clean_lab, 960)
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert "changed since: only what the run changed goes back" in done.stderr
    now = conf(clean_lab, 960)
    assert {"cores: 2", "#changed by hand"} <= set(now.splitlines())
    assert "lxc.apparmor.profile: unconfined" in now
    assert set(edited.splitlines()) - set(now.splitlines()) == set(edited.splitlines()) - {
        *before.splitlines(),
        "cores: 2",
        "#changed by hand",
    }
    # somebody's profile by now: shown, and left
    assert pyinfra("harden", "-y", only=960).returncode == 0
    clean_lab.ssh(f"echo '# mine' >>{PROFILE}")
    done = pyinfra("rollback", "-y")
    assert done.returncode == 1
    assert "profile lxc-docker-nested: somebody changed it since" in done.stderr
    assert "lxc.apparmor.profile: lxc-docker-nested" in conf(clean_lab, 960)


@pytest.mark.long
def test_an_earlier_run_is_refused_until_the_later_one_is_undone(clean_lab):
    before = standing(clean_lab)
    for profile in ("lxc-docker-nested", "lxc-phoenix-v2"):
        assert pyinfra("harden", "-y", only=960, profile=profile).returncode == 0
    first, second = run_ids(clean_lab)
    done = pyinfra("rollback", "-y", run=first)
    assert done.returncode == 1
    assert (
        f"run {second} changed it later: roll that back first, with --data run={second}"
        in done.stderr
    )
    assert "lxc.apparmor.profile: lxc-phoenix-v2" in conf(clean_lab, 960)
    for run in (second, first):
        done = pyinfra("rollback", "-y", run=run)
        assert done.returncode == 0, done.stderr
    assert standing(clean_lab) == before


def test_a_full_disk_refuses_before_the_first_change(clean_lab):
    clean_lab.ssh(
        "mkdir /var/lib/phoenix-harden && "
        "mount -t tmpfs -o size=64k,mode=700 tmpfs /var/lib/phoenix-harden && "
        "head -c 60k /dev/zero >/var/lib/phoenix-harden/full"
    )
    before = standing(clean_lab)
    done = pyinfra("harden", "-y", only=960)
    assert done.returncode == 1, done.stderr
    assert standing(clean_lab) == before


def test_two_runs_at_once_harden_a_container_once(clean_lab):
    runs = [
        subprocess.Popen(
            command("harden", "-y", only=953),
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [run.communicate(timeout=900)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert clean_lab.label(953).startswith("lxc-953_</var/lib/lxc>//&")
    started = 'grep -ho \'"event":"started"\' /var/lib/phoenix-harden/runs/*/journal.jsonl'
    assert len(clean_lab.ssh(started).stdout.splitlines()) == 1


BROKEN = """\
{% extends "base.j2" %}
{% block purpose %}what Docker needs is denied{% endblock %}
{% block promises %}
  audit deny mount fstype=proc -> @{dkr_root}/proc/,
{% endblock %}
"""


@pytest.mark.long
def test_a_profile_that_denies_what_docker_needs_changes_nothing_for_good(clean_lab, tmp_path):
    (tmp_path / "lxc-broken.j2").write_text(BROKEN)
    before = conf(clean_lab, 956), conf(clean_lab, 960), standing(clean_lab)
    done = pyinfra("harden", "-y", only="956,960", profile="lxc-broken", profiles=tmp_path)
    assert done.returncode == 1
    assert "CT 956: FAILED a container of our own runs" in done.stderr
    assert 'apparmor="DENIED" operation="mount"' in done.stderr
    assert "CT 956: restored: the old conf is back" in done.stderr
    assert "not begun" in done.stderr
    assert (conf(clean_lab, 956), conf(clean_lab, 960)) == before[:2]
    assert clean_lab.label(956) == "unconfined"
    assert hello(clean_lab, 956) == "it works"
    # what is left is the profile that nobody wears: the rollback takes it away
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert standing(clean_lab) == before[2]


@pytest.mark.long
def test_a_container_that_does_not_boot_gets_its_old_conf_back(clean_lab, tmp_path):
    entry = {"lxc_options": ["lxc.mount.entry=/nowhere srv/nowhere none bind 0 0"]}
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {"953": entry, "960": {}}}))
    before = standing(clean_lab)
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 1
    assert "CT 953: FAILED restarts" in done.stderr
    assert "CT 953: restored: the old conf is back and the container runs with it" in done.stderr
    assert "not begun" in done.stderr
    assert standing(clean_lab) == before


@pytest.mark.long
def test_the_whole_node_is_after_a_rollback_what_it_was_before(clean_lab):
    before = standing(clean_lab)
    assert pyinfra("harden", "-y").returncode == 0
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert standing(clean_lab) == before
