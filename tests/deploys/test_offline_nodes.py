"""Nodes that are offline or cannot be reached: named, left out, or a reason to stop."""

import pytest
from fake_node import CONF, FakeNode

FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}


class InCluster(FakeNode):
    """A node whose cluster says that pve3 is offline."""

    def host(self):
        name, data = super().host()
        return name, {**data, "phoenix_offline": ("pve3",)}


class OutOfReach:
    def host(self):
        return "node.invalid"


@pytest.fixture
def node():
    return InCluster("pve1", {910: CONF.format(name="portainer")})


def test_a_member_that_is_offline_is_named_and_the_others_are_hardened(pyinfra, node):
    done = pyinfra("harden", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert done.stderr.count("left out, nothing is known of what runs there: pve3\n") == 1
    assert done.commands == ["910"]


def test_whoever_wants_all_of_them_is_refused(pyinfra, node):
    done = pyinfra("harden", node, fleet=FLEET, offline="refuse")
    assert done.code == 1
    assert "offline: pve3: nothing was changed" in done.stderr
    assert done.commands == []


def test_without_offline_skip_a_node_out_of_reach_stops_the_run(pyinfra, node):
    done = pyinfra("harden", node, OutOfReach(), fleet=FLEET)
    assert done.code == 1
    assert "cannot reach node.invalid: nothing was changed" in done.stderr
    assert "--data offline=skip" in done.stderr
    assert done.commands == []


def test_with_it_the_others_are_hardened_and_the_exit_code_says_that_one_was_not(pyinfra, node):
    done = pyinfra("harden", node, OutOfReach(), fleet=FLEET, offline="skip")
    assert done.code == 1
    assert "left out, nothing is known of what runs there: pve3, node.invalid" in done.stderr
    assert done.commands == ["910"]


@pytest.mark.parametrize("recipe", ["audit", "host_prep", "create", "denials"])
def test_every_recipe_goes_on_without_it(pyinfra, node, recipe):
    done = pyinfra(recipe, node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "left out, nothing is known of what runs there: pve3" in done.stderr
