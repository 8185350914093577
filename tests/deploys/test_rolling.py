"""Several nodes: whose turn it is, and what holds whatever `rolling` is."""

import json
import re

import pytest
from fake_node import CONF, FakeNode, installed

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}


def pve(name, *ctids, **facts):
    return FakeNode(name, {ctid: CONF.format(name=f"ct{ctid}") for ctid in ctids}, **facts)


def fleet(tmp_path, entries, **keys):
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps({"lxc_configs": entries, **keys}))
    return path


def begun(done):
    """The operations of the containers, each a list of the nodes that did it at the same time."""
    return [re.sub(r" \(\d of \d\)", "", line) for line in named(done)]


def named(done):
    """Their names as an operator reads them."""
    names = re.findall(r"--> Starting operation: (CT .+)", done.stderr)
    return [name.partition(" (run=")[0].strip() for name in names]


def test_one_container_at_a_time_of_all_nodes(pyinfra):
    entries = {str(ctid): DOCKER for ctid in (910, 920, 911, 921)}
    done = pyinfra("harden", pve("pve1", 910, 911), pve("pve2", 920, 921), fleet=entries)
    assert done.code == 0, done.stderr
    assert named(done) == [
        "CT 910 ct910 (1 of 4)",
        "CT 920 ct920 (2 of 4)",
        "CT 911 ct911 (3 of 4)",
        "CT 921 ct921 (4 of 4)",
    ]


def test_with_rolling_nodes_one_of_each_goes_on_beside_the_others(pyinfra):
    entries = {str(ctid): DOCKER for ctid in (910, 920, 911)}
    done = pyinfra(
        "harden", pve("pve1", 910, 911), pve("pve2", 920), fleet=entries, rolling="nodes"
    )
    assert done.code == 0, done.stderr
    first, second = begun(done)
    assert {*first.split(", ")} == {"CT 910 ct910", "CT 920 ct920"}
    assert second == "CT 911 ct911"


@pytest.mark.parametrize("rolling", [1, "nodes"])
def test_a_dependency_on_another_node_is_done_first(pyinfra, rolling):
    entries = {
        "920": {**DOCKER, "dependencies": ["912"]}, "910": DOCKER, "911": DOCKER, "912": DOCKER,
    }  # fmt: skip
    nodes = [pve("pve1", 910, 911, 912), pve("pve2", 920)]
    done = pyinfra("harden", *nodes, fleet=entries, rolling=rolling)
    assert done.code == 0, done.stderr
    assert begun(done)[-2:] == [
        "CT 920 on @fake/pve2 waits for CT 912 on @fake/pve1",
        "CT 920 ct920",
    ]


def test_after_its_failure_the_one_that_waits_does_not_begin(pyinfra):
    failing = {"commit CT 910": {"success": False, "stdout": "CT 910: restored: as it was"}}
    entries = {"920": {**DOCKER, "dependencies": ["910"]}, "910": DOCKER}
    nodes = [pve("pve1", 910, responses=failing), pve("pve2", 920)]
    done = pyinfra("harden", *nodes, fleet=entries, rolling="nodes")
    assert (done.code, done.commands) == (1, ["910"])
    assert "920   ct920  not begun" in done.stderr


def test_both_halves_of_a_pair_are_never_restarted_at_once(pyinfra, tmp_path):
    file = fleet(tmp_path, {"910": DOCKER, "911": DOCKER}, apart=["910", "911"])
    done = pyinfra("harden", pve("pve1", 910), pve("pve2", 911), fleet=file, rolling="nodes")
    assert done.code == 0, done.stderr
    assert begun(done) == ["CT 910 ct910", "CT 911 ct911"]


def test_while_one_half_is_down_the_other_is_left_running_and_the_exit_code_says_so(
    pyinfra, tmp_path
):
    file = fleet(tmp_path, {"910": DOCKER, "911": DOCKER}, apart=["910", "911"])
    nodes = [pve("pve1", 910), pve("pve2", 911, stopped=(911,))]
    done = pyinfra("harden", *nodes, fleet=file)
    assert done.code == 1
    assert "CT 910 ct910: kept apart from CT 911 on @fake/pve2, which does not run" in done.stderr
    assert done.commands == ["911"]


def test_nodes_of_no_cluster_may_have_containers_of_the_same_ctid(pyinfra):
    done = pyinfra("harden", pve("pve1", 910), pve("pve2", 910, 911), fleet={"910": DOCKER})
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "910"]
    assert "not begun" not in done.stderr


def test_all_nodes_have_the_profiles_before_the_first_container_changes(pyinfra):
    nodes = [pve("pve1", 910, apparmor=installed()), pve("pve2", 920)]
    done = pyinfra("harden", *nodes, fleet={"910": DOCKER, "920": DOCKER})
    assert done.code == 0, done.stderr
    at = [done.stderr.index(f"operation: {name}") for name in (
        "AppArmor profile lxc-docker-nested", "Profiles are on all nodes", "CT 910 ct910"
    )]  # fmt: skip
    assert at == sorted(at)


def test_a_node_has_also_the_profile_of_a_container_that_may_come_from_another_one(pyinfra):
    nodes = [pve("pve1", 910), pve("pve2", elsewhere={"910": "pve1"})]
    done = pyinfra("harden", *nodes, fleet={"910": DOCKER})
    assert done.code == 0, done.stderr
    assert "pve2: profile lxc-docker-nested: new" in done.stderr
