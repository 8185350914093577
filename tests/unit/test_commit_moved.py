"""commit and recover of a container that was migrated: its conf is with another node by now."""

import pytest
from commit_node import NEW, OLD, RUN, Node
from test_commit_several import Several, endings

from phoenix.runs.journal import read_journal
from phoenix.runs.outcome import EXIT, Ending

THERE = "/etc/pve/nodes/pve2/lxc/910.conf"


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def migrate(node, text=OLD):
    (node.root / "etc/pve/lxc/910.conf").unlink()
    return node.has(THERE, text)


def test_one_that_is_on_another_node_is_told_and_nothing_is_changed(node):
    conf = migrate(node)
    done = node.commit()
    assert done.returncode == EXIT[Ending.CHANGED]
    told = done.stdout.splitlines()[-1]
    assert told == "CT 910: changed: it is on pve2 now: nothing was changed"
    assert conf.read_text() == OLD
    assert not node.conf.exists()
    assert node.calls == []
    assert not node.events


def test_one_that_is_nowhere_is_told_and_nothing_is_changed(node):
    node.conf.unlink()
    done = node.commit()
    assert done.returncode == EXIT[Ending.CHANGED]
    assert "CT 910: changed: its conf is gone: nothing was changed" in done.stdout


def test_without_pmxcfs_nobody_says_that_it_moved(node):
    node.conf.unlink()
    node.conf.parent.rmdir()
    assert "CT 910: refused: its state is not known" in node.commit().stdout


def test_of_several_the_others_are_done(tmp_path):
    node = Several(tmp_path)
    migrate(node)
    done = node.commit()
    assert done.returncode == EXIT[Ending.CHANGED]
    assert endings(done) == {910: "changed", 911: "done", 912: "done"}


@pytest.mark.parametrize("events", [("intent",), ("intent", "started"), ("intent", "back")])
def test_a_commit_that_was_cut_short_is_closed_and_what_it_changed_stays_on_record(node, events):
    node.was_cut_short(*events, conf=NEW)
    conf = migrate(node, NEW)
    done = node.recover()
    assert done.returncode == EXIT[Ending.CHANGED]
    assert done.stdout.splitlines()[-1] == (
        "CT 910: changed: it is on pve2 now: nothing was changed"
    )
    assert conf.read_text() == NEW
    assert node.calls == []
    assert node.events == [*events, "failed"]
    record = read_journal(RUN, (node.run / "journal.jsonl").read_text())
    assert [(one.outcome, one.stands) for one in record.changes] == [("failed", True)]
