"""deploys/audit.py on nodes with scripted answers."""

import pytest
from fake_node import CONF, FakeNode

FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}


def pve(conf=CONF, **changes):
    return FakeNode("pve1", {910: conf.format(name="portainer")}, **changes)


def row(done):
    return next(line for line in done.stderr.splitlines() if line.startswith("910 "))


def test_an_unconfined_container_is_named_with_what_to_do(pyinfra):
    done = pyinfra("audit", pve(dockers=["910 ok 26.1.5|overlay2"]), fleet=FLEET)
    assert done.code == 0
    assert "unconfined  26.1.5 overlay2  !!  drift: profile: unconfined becomes" in row(done)
    assert "drift is put right by pyinfra inventory.py deploys/harden.py" in done.stderr


def test_a_confined_container_is_ok_and_strict_agrees(pyinfra):
    node = pve(
        CONF.replace("unconfined", "lxc-docker-nested"),
        label="lxc-docker-nested (enforce)",
        dockers=["910 ok 26.1.5|overlay2"],
    )
    done = pyinfra("audit", node, fleet=FLEET, strict="true")
    assert done.code == 0, done.stderr
    assert "ok  confined" in row(done)


@pytest.mark.parametrize("flags", [("-y",), ("--dry",), ("-y", "--json")])
def test_strict_exits_1_on_any_finding(pyinfra, flags):
    done = pyinfra("audit", pve(), fleet=FLEET, flags=flags, strict="true")
    assert done.code == 1


def test_several_nodes_make_one_table(pyinfra):
    other = FakeNode("pve2", {952: CONF.format(name="qdrant")})
    done = pyinfra("audit", pve(), other, fleet=FLEET)
    assert done.stderr.count("VERDICT") == 1
    assert "2 containers, 2 to look at" in done.stderr


def test_what_would_stop_a_hardening_run_is_shown_and_does_not_stop_the_audit(pyinfra):
    fleet = {"910": {"features": ["docker"], "apparmor_profile": "lxc-nobody-wrote-it"}}
    done = pyinfra("audit", pve("lock: backup\n" + CONF), fleet=fleet, only=910)
    assert done.code == 0, done.stderr
    assert "pve1: apparmor_profile lxc-nobody-wrote-it: no template" in done.stderr
    assert "pve1: CT 910 portainer: locked (backup), left alone" in done.stderr
    assert "runs as unconfined, not lxc-nobody-wrote-it (enforce)" in row(done)


def test_an_audit_has_no_operation(pyinfra):
    done = pyinfra("audit", pve(), fleet=FLEET)
    assert "Starting operation" not in done.stderr
