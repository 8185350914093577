"""deploys/host_prep.py on nodes with scripted answers."""

from fake_node import CONF, FakeNode

FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}


def test_it_installs_the_profiles_and_speaks_of_no_container(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="portainer")})
    done = pyinfra("host_prep", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "pve1: profile lxc-docker-nested: new" in done.stderr
    assert "Starting operation: AppArmor profile lxc-docker-nested" in done.stderr
    assert "CT 910" not in done.stderr
    assert done.commands == []
