"""A run that is cut short at any moment: recovered, then hardened or rolled back, without force."""

from __future__ import annotations

import pytest
from moments import at, cut, moments
from on_node import ENFORCED, REPO, conf, hello, pyinfra, standing

from lab.vm import Lab

# saving the VM at every moment takes minutes
pytestmark = [pytest.mark.lab, pytest.mark.long]
CTID = 910
#: Lines of the journal that say what is about to be done, and that the container has started.
ABI, PROFILE, SWAP, STARTED = 1, 3, 5, 6


@pytest.fixture(scope="module")
def run(lab):
    """The node, how it stood before, the hardened conf, and the moments of that run."""
    lab.reset()
    before = standing(lab)
    found = moments(lab, only=CTID)
    assert lab.label(CTID) == ENFORCED
    yield lab, before, conf(lab, CTID), found
    for moment in found:
        Lab(REPO).forget(moment.tag)


def named(found, part, number=0):
    """The moment right after something with that in its name was put on disk."""
    return [moment for moment in found if part in moment.synced][number]


def hardened(node, wanted):
    done = pyinfra("harden", "-y", only=CTID)
    assert done.returncode == 0, done.stderr
    assert node.label(CTID) == ENFORCED
    assert conf(node, CTID) == wanted
    assert hello(node, CTID) == "it works"
    again = pyinfra("harden", "-y", only=CTID)
    assert "pve-lab: nothing to change" in again.stderr


def rolled_back(node, before):
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    # the next run that tries whether /etc/pve takes changes removes what this one left of that
    node.ssh("rm -f /etc/pve/lxc/phoenix-harden.tmp.*")
    assert standing(node) == before
    assert hello(node, CTID) == "it works"


def test_a_run_comes_by_every_place_at_which_something_must_be_on_disk(run):
    _, _, _, found = run
    synced = [moment.synced for moment in found]
    # the first line, 2 of the abi, 2 of the profile, 3 of the container
    assert sum("journal.jsonl" in one for one in synced) == 8
    assert any("/files/" in one for one in synced)
    assert any(one.endswith("/910/before") for one in synced)


def test_a_node_that_died_before_the_swap_is_hardened_by_the_next_run(run):
    node, _, wanted, found = run
    with at(node, named(found, "journal.jsonl", SWAP), node_dies=True):
        hardened(node, wanted)


def test_a_node_that_died_before_the_proof_is_rolled_back(run):
    node, before, _, found = run
    with at(node, named(found, "journal.jsonl", STARTED), node_dies=True):
        rolled_back(node, before)


def test_a_profile_whose_installation_was_cut_short_is_rolled_back(run):
    node, before, _, found = run
    # the new file is there, beside its place
    with at(node, named(found, ".dpkg-new"), node_dies=True):
        rolled_back(node, before)


def test_a_commit_that_outlived_its_operator_is_rolled_back(run):
    node, before, _, found = run
    with at(node, named(found, "journal.jsonl", SWAP), node_dies=False):
        rolled_back(node, before)


def test_a_node_that_lost_its_power_before_the_proof_is_rolled_back(run):
    node, before, _, found = run
    cut(node, named(found, "journal.jsonl", STARTED))
    rolled_back(node, before)


@pytest.fixture
def run_without_onboot(lab):
    """Another such run; the container runs, and a boot of the node does not start it."""
    lab.reset()
    lab.ssh(f"pct set {CTID} --onboot 0")
    before = standing(lab)
    found = moments(lab, tag="unbooted", only=CTID)
    yield lab, before, found
    for moment in found:
        Lab(REPO).forget(moment.tag)


def test_a_container_that_the_boot_does_not_start_runs_again_once_rolled_back(run_without_onboot):
    node, before, found = run_without_onboot
    cut(node, named(found, "journal.jsonl", STARTED))
    assert f"{CTID} " not in node.ssh("lxc-ls --running -1").stdout.replace("\n", " ")
    rolled_back(node, before)


@pytest.mark.parametrize(
    "number",
    [ABI, PROFILE, SWAP],
    ids=["abi-half-installed", "profile-half-installed", "before-the-swap"],
)
def test_a_node_that_lost_its_power_earlier_is_hardened_by_the_next_run(run, number):
    node, _, wanted, found = run
    cut(node, named(found, "journal.jsonl", number))
    hardened(node, wanted)


@pytest.mark.parametrize("node_dies", [True, False], ids=["node-dies", "operator-is-gone"])
@pytest.mark.parametrize("end", ["harden", "rollback"])
def test_from_every_moment_one_of_the_two_ends_is_reached(run, end, node_dies):
    node, before, wanted, found = run
    for moment in found:
        with at(node, moment, node_dies=node_dies):
            if end == "harden":
                hardened(node, wanted)
            else:
                rolled_back(node, before)


@pytest.fixture
def run_of_stopped_ones(lab):
    """A run that swaps the confs of two stopped containers by one command."""
    lab.reset()
    before = standing(lab)
    found = moments(lab, tag="several", only="957,960")
    wanted = {ctid: conf(lab, ctid) for ctid in (957, 960)}
    yield lab, before, wanted, [one for one in found if "journal.jsonl" in one.synced]
    for moment in found:
        Lab(REPO).forget(moment.tag)


@pytest.mark.parametrize("end", ["harden", "rollback"])
def test_of_several_in_one_command_each_comes_to_one_of_the_two_ends(run_of_stopped_ones, end):
    node, before, wanted, found = run_of_stopped_ones
    for moment in found:
        with at(node, moment, node_dies=True):
            if end == "harden":
                done = pyinfra("harden", "-y", only="957,960")
                assert done.returncode == 0, done.stderr
                assert {ctid: conf(node, ctid) for ctid in wanted} == wanted
            else:
                done = pyinfra("rollback", "-y")
                assert done.returncode == 0, done.stderr
                node.ssh("rm -f /etc/pve/lxc/phoenix-harden.tmp.*")
                assert standing(node) == before
