"""deploys/denials.py on nodes with scripted answers; no fleet file is read."""

import pytest
from fake_node import CONF, FakeNode

DENIED = (
    3,
    1795308400.5,
    'apparmor="DENIED" operation="create" class="net" profile="lxc-a" comm="perl" '
    'family="vsock" sock_type="stream"',
)


def node(name, ctid, **changes):
    conf = CONF.format(name=f"guest{ctid}").replace("unconfined", "lxc-a")
    return FakeNode(name, {ctid: conf}, label="lxc-a (enforce)", **changes)


@pytest.mark.parametrize("flags", [("-y",), ("--dry",)])
def test_what_was_denied_on_all_nodes_is_told_once_and_is_no_failure(pyinfra, flags):
    nodes = node("pve1", 910, denials=[DENIED]), node("pve2", 952)
    done = pyinfra("denials", *nodes, flags=flags)
    assert done.code == 0, done.stderr
    assert done.stderr.count("pve1: denied since each container's start (audit.log):") == 1
    assert "  CT 910 guest910: 3x open a vsock stream socket by perl under lxc-a" in done.stderr
    assert "pve2: nothing was denied since each container's start (audit.log)" in done.stderr


def test_since_and_only_are_its_keys(pyinfra):
    nodes = node("pve1", 910, denials=[DENIED]), node("pve2", 952, denials=[DENIED])
    done = pyinfra("denials", *nodes, since="2h", only=952)
    assert done.code == 0, done.stderr
    assert "pve2: denied since the time given (audit.log):" in done.stderr
    assert "CT 910" not in done.stderr


def test_a_container_that_no_node_has_is_refused(pyinfra):
    done = pyinfra("denials", node("pve1", 910), only=999)
    assert done.code != 0
    assert "only=999: no node of this inventory has a container 999" in done.stderr


def test_a_key_of_another_recipe_is_refused(pyinfra):
    done = pyinfra("denials", node("pve1", 910), strict="true")
    assert done.code != 0
    assert "--data strict: belongs to audit" in done.stderr
