"""Guests that did not answer: the run that leaves them says so, and so does its exit code."""

import hashlib

import pytest
from fake_node import CONF, FakeNode, docker, installed, journal

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}
FLEET = {"910": DOCKER, "952": DOCKER}
RIGHT = CONF.replace("unconfined", "lxc-docker-nested").replace("nesting=1", "nesting=1,keyctl=1")
RUN = "r20261122T013000Z-beef"
UNANSWERED = {
    "hung": "its guest gave no answer in time: ",
    "failed": "its guest cannot be entered (",
    "flooded": "its guest says more than anybody reads: ",
    "noshell": "its guest has no shell to ask Docker with: ",
}


def silent(ctid, state):
    error = "lxc-attach: no memory" if state == "failed" else ""
    return {str(ctid): {"state": state, "text": "", "error": error}}


def pve(state, conf=CONF, ctids=(910, 952), **changes):
    confs = {ctid: conf.format(name=f"ct{ctid}") for ctid in ctids}
    return FakeNode("pve1", confs, dockers={**docker(910), **silent(952, state)}, **changes)


@pytest.mark.parametrize("state", UNANSWERED)
def test_one_that_did_not_answer_stands_in_the_table_and_the_run_has_failed(pyinfra, state):
    done = pyinfra("harden", pve(state), fleet=FLEET)
    assert (done.code, done.commands) == (1, ["910"])
    table = done.stderr.partition("pve1: 2 containers:")[2]
    assert "910   ct910  " in table
    assert f"952   ct952  left alone: {UNANSWERED[state]}" in table


@pytest.mark.parametrize("state", UNANSWERED)
def test_a_run_that_has_nothing_else_to_do_fails_as_well(pyinfra, state):
    node = pve(state, ctids=(952,))
    done = pyinfra("harden", node, fleet=FLEET)
    assert (done.code, done.commands) == (1, [])
    assert f"952   ct952  left alone: {UNANSWERED[state]}" in done.stderr


@pytest.mark.parametrize("state", UNANSWERED)
@pytest.mark.parametrize("conf", [CONF, RIGHT], ids=["unconfined", "confined"])
def test_an_audit_says_so_and_a_strict_one_fails(pyinfra, state, conf):
    label = "lxc-docker-nested (enforce)" if conf == RIGHT else "unconfined"
    node = pve(state, conf, label=label, apparmor=installed())
    done = pyinfra("audit", node, fleet=FLEET, strict="true")
    assert done.code == 1
    (row,) = [line for line in done.stderr.splitlines() if line.startswith("952 ")]
    assert "  !!  " in row
    assert UNANSWERED[state] in row


@pytest.mark.parametrize("state", ["hung", "failed", "flooded"])
def test_what_runs_in_one_that_shall_have_no_docker_and_did_not_answer_is_not_known(pyinfra, state):
    label = "lxc-952_</var/lib/lxc> (enforce)"
    node = pve(state, "hostname: {name}\nunprivileged: 1\n", label=label)
    fleet = {"952": {"apparmor_profile": "generated"}}
    done = pyinfra("audit", node, fleet=fleet, only=952)
    (row,) = [line for line in done.stderr.splitlines() if line.startswith("952 ")]
    assert "  ok  confined; its guest " in row
    assert ": what runs in it is not known" in row


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_rollback_that_leaves_one_for_its_guest_has_failed_and_says_so(pyinfra):
    old, new = "hostname: ct952\nlxc.apparmor.profile: unconfined\n", "hostname: ct952\n"
    conf = {"ctid": 952, "file": "/etc/pve/lxc/952.conf"}
    file = {"ctid": 952, "file": "/etc/docker/daemon.json"}
    node = FakeNode(
        "pve1",
        {952: new},
        dockers=silent(952, "hung"),
        runs={
            RUN: journal(
                {**conf, "event": "intent", "before": sha(old), "after": sha(new), "ours": "none"},
                {**file, "event": "intent", "before": "none", "after": sha("{}")},
                {**file, "event": "done", "after": sha("{}")},
                {**conf, "event": "done", "after": sha(new)},
            )
        },
        kept={"files": {sha(old): old}, "staged": {"952": {"conf": new, "before": sha(old)}}},
    )
    done = pyinfra("rollback", node)
    assert (done.code, done.commands) == (1, [])
    assert "952   ct952  left alone: its /etc/docker/daemon.json cannot be read: " in done.stderr
