"""Containers whose root is root of the node: no named profile without force."""

import pytest
from fleet_cases import fleet

from phoenix.apparmor.observed import MARKER, ObservedAppArmor
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.privileged import is_privileged

TEMPLATES = {"lxc-a.j2": "{{ marker }}\nprofile {{ name }} {}\n"}
NAMED = "lxc.apparmor.profile: lxc-a\n"


def plan(conf, profile="lxc-a", label=None, **options):
    observed = ObservedContainer(910, PveConf(conf), bool(label), 1, label, None, "pve1")
    return plan_node(
        fleet=fleet(ct910={"apparmor_profile": profile}),
        options=Options(**options),
        facts=NodeFacts(
            containers=ObservedPct("pve1", {910: observed}),
            apparmor=ObservedAppArmor(enabled=True, parser=(4, 1, 0)),
        ),
        templates=TEMPLATES,
    )


@pytest.mark.parametrize(
    ("conf", "privileged"),
    [
        ("hostname: a\n", True),
        ("unprivileged: 0\n", True),
        ("unprivileged: 1\n", False),
        ("hostname: a\n\n[snap]\nunprivileged: 1\n", True),
        ("unprivileged: 1\nlxc.idmap: u 0 0 65536\n", True),
        ("unprivileged: 1\nlxc.idmap = g 100000 0x0 1\n", True),
        ("unprivileged: 1\nlxc.idmap: u 0 100000 65536\n", False),
    ],
)
def test_root_of_the_node_is_who_has_its_user_id(conf, privileged):
    assert is_privileged(PveConf(conf)) == privileged


@pytest.mark.parametrize("conf", ["hostname: web\n", f"hostname: web\n{NAMED}"])
def test_a_named_profile_is_refused_with_the_reason_and_both_ways_out(conf):
    found = plan(conf, label="unconfined")
    assert found.containers == ()
    (problem,) = found.problems
    assert problem.startswith("pve1: CT 910 web: lxc-a for a privileged container: root in it is")
    assert "set the node's kernel.modprobe" in problem
    assert "pct restore with --unprivileged 1" in problem
    assert problem.endswith("--data force=privileged")


def test_with_force_it_is_done_and_said():
    found = plan("hostname: web\n", force=True)
    assert found.problems == ()
    assert NAMED.strip() in found.containers[0].after.text
    (note,) = found.notes
    assert "no AppArmor profile holds that" in note


def test_one_that_wears_it_already_does_not_stop_the_others():
    found = plan(f"hostname: web\n{NAMED}", label="lxc-a (enforce)")
    assert (found.problems, found.containers) == ((), ())
    assert "no AppArmor profile holds that" in found.notes[0]


def test_the_generated_profile_is_not_refused():
    found = plan("hostname: web\nlxc.apparmor.profile: unconfined\n", profile="generated")
    assert found.problems == ()
    assert len(found.containers) == 1


def test_an_unprivileged_one_is_not_concerned():
    found = plan("hostname: web\nunprivileged: 1\n")
    assert (found.problems, found.notes) == ((), ())
    assert found.profiles[0].after.startswith(MARKER)
