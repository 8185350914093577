"""The verb that opens the journal of a run."""

import pytest
from script_node import ScriptNode

RUN, UNDONE = "r20261123T013000Z-beef", "r20261122T013000Z-beef"


@pytest.fixture
def node(tmp_path):
    node = ScriptNode(tmp_path)
    node.run = node.root / "var/lib/phoenix-harden/runs" / RUN
    return node


def test_a_run_that_undoes_another_says_so_first_and_for_root_alone(node):
    done = node.verb("begin", RUN, UNDONE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (first,) = node.journal
    assert {**first, "time": ""} == {"time": "", "event": "begin", "format": 2, "undoes": UNDONE}
    assert (node.run / "journal.jsonl").stat().st_mode & 0o777 == 0o600
    folders = (node.run, *node.run.parents[:2])
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_a_folder_that_the_version_before_left_to_all_is_roots_alone_again(node):
    state = node.run.parents[1]
    state.mkdir(parents=True)
    state.chmod(0o755)
    node.verb("begin", RUN)
    assert state.stat().st_mode & 0o777 == 0o700


def test_it_is_opened_once(node):
    node.verb("begin", RUN, UNDONE)
    assert node.verb("begin", RUN, UNDONE).returncode == 0
    assert node.events == ["begin"]
    done = node.verb("begin", RUN)
    assert (done.returncode, done.stdout) == (2, f"refused: run {RUN} has begun already\n")


@pytest.mark.parametrize("words", [("../r1",), (RUN, "r1")])
def test_what_is_no_run_is_refused(node, words):
    assert node.verb("begin", *words).returncode == 2
    assert not node.run.parent.exists()
