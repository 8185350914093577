"""harden on a node whose tunables/home somebody broke, with the node's own parser."""

from __future__ import annotations

import json

import pytest
from on_node import ENFORCED, hello, pyinfra, state

pytestmark = pytest.mark.lab

HOME = "/etc/apparmor.d/tunables/home"
COUNT = """
ls -p /etc/apparmor.d | grep -v / | xargs -n 1 -P "$(nproc)" sh -c \
    'apparmor_parser -Q -K -T "/etc/apparmor.d/$1" >/dev/null 2>&1 </dev/null && echo "$1"' sh |
    wc -l
"""


def compiling(node):
    """How many profile files of the node compile."""
    return int(node.ssh(COUNT, check=False).stdout)


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
    dry = pyinfra("harden", "--dry", only=956)
    assert dry.returncode == 0, dry.stderr
    assert f"{line}: becomes @{{HOMEDIRS}}=/home/" in dry.stderr
    assert "- @HOMEDIRS=/home/" in dry.stderr
    assert "+ @{HOMEDIRS}=/home/" in dry.stderr
    assert (state(node), text(node)) == before
    assert compiling(node) < 10

    done = pyinfra("harden", "-y", only=956)
    assert done.returncode == 0, done.stderr
    assert text(node) == sound
    assert node.ssh(f"stat -c '%a %U:%G' {HOME}").stdout == "640 root:root\n"
    assert node.ssh("ls /etc/apparmor.d/tunables | grep dpkg", check=False).stdout == ""
    assert node.label(956) == ENFORCED
    assert hello(node, 956) == "it works"
    assert compiling(node) >= 100

    journal = node.ssh("cat /var/lib/phoenix-harden/runs/*/journal.jsonl").stdout
    entries = [json.loads(line) for line in journal.splitlines() if HOME in line]
    assert [entry["event"] for entry in entries] == ["intent", "done"]
    kept = node.ssh(f"cat /var/lib/phoenix-harden/runs/*/files/{entries[0]['before']}").stdout
    assert kept == before[1]

    again = pyinfra("harden", "-y", only=956)
    assert "pve-lab: nothing to change" in again.stderr


def test_what_cannot_be_guessed_is_refused_and_nothing_changes(clean_lab):
    clean_lab.ssh(f"sed -i 's|^@{{HOMEDIRS}}=/home/$|@{{HOMEDIRS}}=|' {HOME}")
    before = state(clean_lab), text(clean_lab)
    done = pyinfra("harden", "-y", only=956)
    assert done.returncode == 1
    assert f"pve-lab: {HOME} line " in done.stderr
    assert "@{HOMEDIRS}=: it has no value" in done.stderr
    assert (state(clean_lab), text(clean_lab)) == before
