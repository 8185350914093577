"""The section `watch` on a tree of files, with a fake systemctl."""

import pytest

from facts.watch import Watch
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER, WANTED, ObservedWatch

FILES = {
    SCRIPT: "#!/usr/bin/python3 -I\n# \\n 100%\n",
    SERVICE: "[Service]\n",
    TIMER: "[Timer]\n",
    WANTED: "910 lxc-a enforce\n",
}


@pytest.fixture
def pve(node):
    for path, text in FILES.items():
        node.has(path, text)
    return node


def test_every_byte_of_its_files_arrives(pve):
    pve.tool("systemctl", "exit 0")
    assert pve.see(Watch) == ObservedWatch(FILES, timer=True)


@pytest.mark.parametrize("off", ["is-enabled", "is-active"])
def test_a_timer_is_on_that_is_enabled_and_runs(pve, off):
    pve.tool("systemctl", f'[ "$1" != {off} ]')
    assert not pve.see(Watch).timer


def test_a_node_without_it_has_none_of_its_files(node):
    node.tool("systemctl", "exit 1")
    assert node.see(Watch) == ObservedWatch()
