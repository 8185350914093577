"""Tunables of a node, with its own parser: broken ones are repaired, the site's own are set."""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, conf, pyinfra, state

pytestmark = pytest.mark.lab

HOME = "/etc/apparmor.d/tunables/home"
SOME_PROFILES = ("lsb_release", "nvidia_modprobe", "unix-chkpwd")


def compiling(node):
    """Which of some profiles of other packages compile: each needs the tunables."""
    compiles = "apparmor_parser -Q -K -T /etc/apparmor.d/{}"
    tried = {name: node.ssh(compiles.format(name), check=False) for name in SOME_PROFILES}
    return [name for name, done in tried.items() if done.returncode == 0]


def text(node):
    return node.ssh(f"cat {HOME}").stdout


@pytest.fixture
def broken(clean_lab):
    """The lab with the braces of HOMEDIRS gone, and the text that it had."""
    sound = text(clean_lab)
    clean_lab.ssh(f"sed -i 's|^@{{HOMEDIRS}}=/home/$|@HOMEDIRS=/home/|' {HOME} && chmod 640 {HOME}")
    assert text(clean_lab) == sound.replace("\n@{HOMEDIRS}=/home/\n", "\n@HOMEDIRS=/home/\n")
    return clean_lab, sound


def test_harden_repairs_exactly_the_broken_line_and_goes_on(broken):
    node, sound = broken
    number = sound.splitlines().index("@{HOMEDIRS}=/home/") + 1
    line = f"pve-lab: {HOME} line {number}: @HOMEDIRS=/home/: the {{ and }} are missing"

    before = state(node), text(node)
    dry = pyinfra("harden", "--dry", only=960)
    assert dry.returncode == 0, dry.stderr
    assert f"{line}: becomes @{{HOMEDIRS}}=/home/" in dry.stderr
    assert "- @HOMEDIRS=/home/" in dry.stderr
    assert "+ @{HOMEDIRS}=/home/" in dry.stderr
    assert (state(node), text(node)) == before
    assert compiling(node) == []

    done = pyinfra("harden", "-y", only=960)
    assert done.returncode == 0, done.stderr
    assert text(node) == sound
    assert node.ssh(f"stat -c '%a %U:%G' {HOME}").stdout == "640 root:root\n"
    assert node.ssh("ls /etc/apparmor.d/tunables | grep dpkg", check=False).stdout == ""
    assert f"{ENFORCED}\n" in node.ssh("cat /sys/kernel/security/apparmor/profiles").stdout
    assert "lxc.apparmor.profile: lxc-docker-nested" in conf(node, 960)
    assert compiling(node) == [*SOME_PROFILES]

    journal = node.ssh("cat /var/lib/phoenix-harden/runs/*/journal.jsonl").stdout
    entries = [json.loads(line) for line in journal.splitlines() if HOME in line]
    assert [entry["event"] for entry in entries] == ["intent", "done"]
    kept = node.ssh(f"cat /var/lib/phoenix-harden/runs/*/files/{entries[0]['before']}").stdout
    assert kept == before[1]

    again = pyinfra("harden", "-y", only=960)
    assert "pve-lab: nothing to change" in again.stderr


def test_what_cannot_be_guessed_is_refused_and_nothing_changes(clean_lab):
    clean_lab.ssh(f"sed -i 's|^@{{HOMEDIRS}}=/home/$|@{{HOMEDIRS}}=|' {HOME}")
    before = state(clean_lab), text(clean_lab)
    done = pyinfra("harden", "-y", only=960)
    assert done.returncode == 1
    assert f"pve-lab: {HOME} line " in done.stderr
    assert "@{HOMEDIRS}=: it has no value" in done.stderr
    assert (state(clean_lab), text(clean_lab)) == before


PROFILES = {910: "lxc-phoenix-v2", 956: "lxc-docker-nested"}
SITE = "/etc/apparmor.d/tunables/global.d/phoenix-harden"
#: A process under one profile signals one under the other: not what a container could do by itself.
SIGNAL = """
    aa-exec -p lxc-phoenix-v2 -- sleep 100 &
    until grep -q phoenix /proc/$!/attr/apparmor/current; do sleep 0.1; done
    aa-exec -p lxc-docker-nested -- sh -c "kill -CONT $!" 2>&1 && echo reached
    kill $!
"""


@pytest.mark.long
def test_the_sites_list_decides_whether_containers_of_other_profiles_are_in_reach(
    clean_lab, tmp_path
):
    node = clean_lab
    containers = {ctid: {"apparmor_profile": name} for ctid, name in PROFILES.items()}
    fleet = tmp_path / "fleet.json"

    def prepare(**more):
        fleet.write_text(json.dumps({"lxc_configs": containers, **more}))
        done = pyinfra("host_prep", "-y", fleet=fleet)
        assert done.returncode == 0, done.stderr
        return done

    prepare()
    assert "Permission denied" in node.ssh(SIGNAL).stdout
    before = state(node)
    prepare(tunables={"apparmor_nesting_profiles": [*PROFILES.values()]})
    assert node.ssh(f"cat {SITE}").stdout.endswith("= lxc-phoenix-v2 lxc-docker-nested\n")
    assert node.ssh(SIGNAL).stdout == "reached\n"
    assert (
        "nothing to change"
        in prepare(tunables={"apparmor_nesting_profiles": [*PROFILES.values()]}).stderr
    )
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert node.ssh(f"ls {SITE}", check=False).stdout == ""
    assert "Permission denied" in node.ssh(SIGNAL).stdout
    assert state(node) == before
