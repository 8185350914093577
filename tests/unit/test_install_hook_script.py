"""The script that installs the hook of stacked containers, against a fake root."""

import pytest
from script_node import ScriptNode, base64_of, sha
from synced import Synced

NAME = "/usr/local/lib/phoenix-harden/namespace"
NEW = "#!/bin/sh\necho new\n"


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.file = self.root / NAME[1:]

    def install(self, text=NEW, sent=None):
        stdin = base64_of(text if sent is None else sent)
        return self.sh("install-hook", NAME, self.run, sha(text), stdin=stdin)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_it_is_there_for_everybody_to_run_whatever_the_umask(node):
    done = node.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.file.read_text() == NEW
    assert node.file.stat().st_mode & 0o777 == 0o755
    assert node.file.parent.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in node.file.parent.iterdir()] == ["namespace"]


def test_the_journal_says_what_was_there_and_what_is(node):
    node.install()
    intent, done = node.journal
    assert {**intent, "time": ""} == {
        "time": "",
        "file": NAME,
        "event": "intent",
        "before": "none",
        "after": sha(NEW),
    }
    assert (done["file"], done["event"], done["after"]) == (NAME, "done", sha(NEW))


def test_an_older_one_is_replaced_and_kept_under_its_hash(node):
    node.install("the old one\n")
    assert node.install().returncode == 0
    assert node.file.read_text() == NEW
    assert node.journal[2]["before"] == sha("the old one\n")
    assert (node.run / "files" / sha("the old one\n")).read_text() == "the old one\n"


def test_each_step_is_on_disk_before_the_next_one(node):
    node.install("old\n")
    synced = Synced(node.fake, node.file)
    assert node.install("new\n").returncode == 0
    assert synced.calls == [
        (sha("old\n"), "old"),
        ("journal.jsonl", "old"),
        ("namespace.phoenix-new", "old"),
        ("phoenix-harden", "new"),
        ("lib", "new"),
        ("journal.jsonl", "new"),
    ]


def test_a_text_that_is_cut_short_changes_nothing(node):
    done = node.install(sent=NEW[:5])
    assert done.returncode == 1
    assert "did not arrive whole; nothing was changed" in done.stderr
    assert not node.file.exists()
    assert not (node.run / "journal.jsonl").exists()


def test_a_place_that_cannot_be_written_changes_nothing(node):
    node.file.parent.parent.mkdir(parents=True)
    node.file.parent.write_text("no folder")
    done = node.install()
    assert done.returncode == 1
    assert "cannot be written; nothing was changed" in done.stderr
    assert node.events == ["intent", "restored"]
