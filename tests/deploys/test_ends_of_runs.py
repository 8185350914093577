"""What a run over several nodes tells at its end."""

import json

import pytest
from fake_node import CONF, FakeNode, docker

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}
FLEET = {str(ctid): DOCKER for ctid in (910, 911, 920)}
RIGHT = CONF.replace("unconfined", "lxc-docker-nested").replace("nesting=1", "nesting=1,keyctl=1")


def pve(name, *ctids, **facts):
    done = {f"commit CT {ctid}": {"stdout": f"CT {ctid}: done"} for ctid in ctids}
    confs = {ctid: CONF.format(name=f"ct{ctid}") for ctid in ctids}
    return FakeNode(name, confs, responses={**done, **facts.pop("responses", {})}, **facts)


@pytest.fixture
def nodes():
    right = FakeNode(
        "pve3",
        {930: RIGHT.format(name="ct930")},
        label="lxc-docker-nested (enforce)",
        dockers=docker(930),
    )
    return [pve("pve2", 920), pve("pve1", 910, 911), right]


def test_each_node_has_a_line_and_what_others_do_is_not_told_as_skipped(pyinfra, nodes):
    fleet = {**FLEET, "930": DOCKER}
    done = pyinfra("harden", *nodes, fleet=fleet, verbose=())
    assert done.code == 0, done.stderr
    told = "pve1: 2 hardened\npve2: 1 hardened\npve3: 1 unchanged\n"
    assert done.stderr.count(told) == 1
    assert "RESULT" not in done.stderr
    assert "Skipped" not in done.stderr


def test_with_v_all_of_it_is_told(pyinfra, nodes):
    done = pyinfra("harden", *nodes, fleet=FLEET, verbose=("-v",))
    assert "910   ct910  done" in done.stderr
    assert "pve1: 2 hardened\n" in done.stderr
    assert "Skipped" in done.stderr


def test_who_needs_attention_has_its_row(pyinfra):
    failing = {"commit CT 911": {"success": False, "stdout": "CT 911: restored: as it was"}}
    nodes = [pve("pve1", 910, 911, responses=failing), pve("pve2", 920)]
    done = pyinfra(
        "harden", *nodes, fleet={**FLEET, "920": {**DOCKER, "dependencies": ["911"]}}, verbose=()
    )
    assert done.code == 1
    assert (
        "pve1: 1 container:\nCTID  NAME   RESULT\n911   ct911  restored: as it was\n"
        "pve1: 1 hardened, 1 needs attention (CT 911)\npve2: 1 not begun\n"
    ) in done.stderr


def test_a_step_of_a_node_itself_that_fails_is_in_its_line(pyinfra):
    broken = {"install-profile": {"success": False}}
    nodes = [pve("pve1", 910, responses=broken), pve("pve2", 920)]
    done = pyinfra("harden", *nodes, fleet={"910": DOCKER, "920": DOCKER}, verbose=())
    assert done.code == 1
    assert "pve1: 1 not begun, a step of the node itself failed, see above\n" in done.stderr
    assert "pve2: 1 not begun\n" in done.stderr


@pytest.mark.parametrize("flags", [("-y",), ("--dry",)])
def test_with_report_the_end_is_written_for_programs_where_there_is_one(
    pyinfra, nodes, tmp_path, flags
):
    folder = tmp_path / "out"
    done = pyinfra("harden", *nodes, fleet=FLEET, flags=flags, report=folder)
    assert done.code == 0, done.stderr
    if flags == ("--dry",):
        assert not folder.exists()
        return
    data = json.loads((folder / "harden.json").read_text())
    assert [(one["name"], one["counts"]["done"]) for one in data["nodes"]] == [
        ("pve1", 2), ("pve2", 1), ("pve3", 0),
    ]  # fmt: skip
    assert f"stage {data['run']}" in done.stderr


def test_with_report_it_is_written_where_nothing_was_to_do_too(pyinfra, nodes, tmp_path):
    done = pyinfra("harden", nodes[2], fleet={"930": DOCKER}, report=tmp_path)
    assert done.code == 0, done.stderr
    data = json.loads((tmp_path / "harden.json").read_text())
    assert data["nodes"][0]["counts"]["unchanged"] == 1


def test_a_report_that_cannot_be_written_is_told_and_fails(pyinfra, nodes, tmp_path):
    (tmp_path / "file").write_text("")
    done = pyinfra("harden", *nodes, fleet=FLEET, report=tmp_path / "file/out")
    assert done.code == 1
    assert "cannot write --data report=" in done.stderr
    assert "pve1: 2 hardened\n" in done.stderr
