"""A node that dies in the middle of a run: what the others do, what is said, what comes next."""

import pytest
from fake_node import CONF, FakeNode, journal
from fakes import Dying
from test_moved import left, sent
from test_rollback import HARDENED, KEPT, NEW, RUN

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
FLEET = {str(ctid): DOCKER for ctid in (910, 911, 920, 921)}
DONE = {f"commit CT {ctid}": {"stdout": f"CT {ctid}: done"} for ctid in (910, 911, 920, 921)}


class Node(FakeNode):
    """A node that may die; `dies`: at which command, and as what that shows."""

    dies = None

    def host(self):
        name, data = super().host()
        if self.dies:
            data["fake_responses"] = Dying(data["fake_responses"], *self.dies)
        return name, data


def pve(name, *ctids, dies=None, **facts):
    confs = {ctid: CONF.format(name=f"ct{ctid}") for ctid in ctids}
    node = Node(name, confs, responses=DONE, **facts)
    node.dies = dies
    return node


@pytest.mark.parametrize("error", ["OSError", "EOFError", "TimeoutError"])
def test_no_node_begins_another_container_and_all_have_their_line(pyinfra, error):
    nodes = [pve("pve1", 910, 911, dies=("commit CT 910", error)), pve("pve2", 920, 921)]
    done = pyinfra("harden", *nodes, fleet=FLEET)
    assert done.code == 1
    assert sent(done) == [("pve1", "910")]
    assert "pve1: 2 containers:" in done.stderr
    assert "910   ct910  failed or connection lost; the node may still be working" in done.stderr
    for ctid in (911, 920, 921):
        assert f"{ctid}   ct{ctid}  not begun" in done.stderr


@pytest.mark.parametrize("error", ["OSError", "EOFError"])
def test_what_another_node_is_at_comes_to_its_end(pyinfra, error):
    # it has begun, too, before this one is gone
    dying = pve("pve1", 910, 911, dies=("commit CT 910", error), delay=0.2)
    done = pyinfra("harden", dying, pve("pve2", 920, 921), fleet=FLEET, rolling="nodes")
    assert done.code == 1
    assert {*sent(done)} == {("pve1", "910"), ("pve2", "920")}
    assert "920   ct920  done" in done.stderr
    assert "921   ct921  not begun" in done.stderr


def test_one_that_dies_before_any_container_stops_all_of_them(pyinfra):
    nodes = [pve("pve1", 910, dies=("install-profile", "EOFError")), pve("pve2", 920)]
    done = pyinfra("harden", *nodes, fleet={"910": DOCKER, "920": DOCKER})
    assert done.code == 1
    assert sent(done) == []
    assert "920   ct920  not begun" in done.stderr


def test_one_that_dies_while_it_is_asked_stops_the_run_and_is_named(pyinfra):
    nodes = [pve("pve1", 910, dies=("observe ", "EOFError")), pve("pve2", 920)]
    done = pyinfra("harden", *nodes, fleet={"910": DOCKER, "920": DOCKER})
    assert done.code == 1
    assert "could not collect facts from @fake/pve1 (see above); nothing was changed" in done.stderr
    assert done.commands == []


@pytest.mark.parametrize("error", ["OSError", "EOFError"])
def test_one_alone_that_dies_when_it_is_asked_again_is_told(pyinfra, error):
    changed = {"commit CT 910": {"stdout": "CT 910: changed: somebody: nothing was changed"}}
    node = pve("pve1", 910, 911, dies=("observe containers,dockers", error))
    node.responses = {**DONE, **changed}
    done = pyinfra("harden", node, fleet={"910": DOCKER, "911": DOCKER})
    assert done.code == 1
    assert "910   ct910  refused: it was to be planned anew" in done.stderr
    assert "911   ct911  not begun" in done.stderr


def test_one_that_dies_with_a_container_that_came_to_it_is_named(pyinfra):
    there = pve("pve2", dies=("commit CT 910", "EOFError"), elsewhere={"910": "pve1"})
    there.later = pve("pve2", 910)
    done = pyinfra("harden", left(), there, fleet={"910": DOCKER})
    assert done.code == 1
    assert "910   ct910  on pve2 now: failed or connection lost" in done.stderr


def test_the_next_run_recovers_what_it_was_at_before_it_begins_anything(pyinfra):
    intent = {"ctid": 910, "event": "intent", "file": "/etc/pve/lxc/910.conf", "ours": "none"}
    earlier = {"r20261122T013000Z-beef": journal({**intent, "before": "a" * 64, "after": "b" * 64})}
    nodes = [pve("pve1", 910, 911, runs=earlier), pve("pve2", 920, 921)]
    done = pyinfra("harden", *nodes, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert sent(done)[0] == ("pve1", "beef-910")
    assert {*sent(done)[1:]} == {
        ("pve1", "910"), ("pve1", "911"), ("pve2", "920"), ("pve2", "921"),
    }  # fmt: skip


def test_a_rollback_in_which_one_dies_ends_in_the_same_way(pyinfra):
    dies = ("commit CT 910", "EOFError")
    node = pve("pve1", dies=dies, runs={RUN: journal(*HARDENED)}, kept={**KEPT, "now": {}})
    node.confs = {910: NEW}
    done = pyinfra("rollback", node, pve("pve2"), run=RUN)
    assert done.code == 1
    assert "910   portainer  failed or connection lost" in done.stderr


@pytest.mark.parametrize("error", ["OSError", "EOFError"])
@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("id -un", "error  login  its shell does not say who logs in"),
        ("observe ", "error  answer   it did not tell what it was asked (see above)"),
    ],
)
def test_a_first_look_at_one_that_dies_is_a_line_and_the_exit_code(pyinfra, error, at, told):
    done = pyinfra("doctor", pve("pve1", 910, dies=(at, error)))
    assert done.code == 1
    assert told in done.stderr
