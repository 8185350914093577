"""The script that installs the hook of stacked containers, against a fake root."""

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from synced import Synced

SCRIPT = Path(__file__).parents[2] / "templates/node/install-hook.sh"
NAME = "/usr/local/lib/phoenix-harden/namespace"
NEW = "#!/bin/sh\necho new\n"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Node:
    def __init__(self, folder):
        self.root, self.run, self.fake = folder / "root", folder / "run", folder / "fake"
        self.root.mkdir()
        self.fake.mkdir()
        self.file = self.root / NAME[1:]

    def install(self, text=NEW, sent=None):
        return subprocess.run(
            ["sh", "-c", SCRIPT.read_text(), "install-hook", NAME, self.run, sha256(text)],
            input=base64.encodebytes((text if sent is None else sent).encode()),
            env={
                "PATH": f"{self.fake}:{os.environ['PATH']}",
                "PHOENIX_ROOT": str(self.root),
            },
            capture_output=True,
            timeout=30,
        )

    @property
    def journal(self):
        return [json.loads(line) for line in (self.run / "journal.jsonl").read_text().splitlines()]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_it_is_there_for_everybody_to_run_whatever_the_umask(node):
    done = node.install()
    assert (done.returncode, done.stderr) == (0, b"")
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
        "after": sha256(NEW),
    }
    assert (done["file"], done["event"], done["after"]) == (NAME, "done", sha256(NEW))


def test_an_older_one_is_replaced_and_kept_under_its_hash(node):
    node.install("the old one\n")
    assert node.install().returncode == 0
    assert node.file.read_text() == NEW
    assert node.journal[2]["before"] == sha256("the old one\n")
    assert (node.run / "files" / sha256("the old one\n")).read_text() == "the old one\n"


def test_each_step_is_on_disk_before_the_next_one(node):
    node.install("old\n")
    synced = Synced(node.fake, node.file)
    assert node.install("new\n").returncode == 0
    assert synced.calls == [
        (sha256("old\n"), "old"),
        ("journal.jsonl", "old"),
        ("namespace.phoenix-new", "old"),
        ("phoenix-harden", "new"),
        ("lib", "new"),
        ("journal.jsonl", "new"),
    ]


def test_a_text_that_is_cut_short_changes_nothing(node):
    done = node.install(sent=NEW[:5])
    assert done.returncode == 1
    assert b"did not arrive whole; nothing was changed" in done.stderr
    assert not node.file.exists()
    assert not (node.run / "journal.jsonl").exists()


def test_a_place_that_cannot_be_written_changes_nothing(node):
    node.file.parent.parent.mkdir(parents=True)
    node.file.parent.write_text("no folder")
    done = node.install()
    assert done.returncode == 1
    assert b"cannot be written; nothing was changed" in done.stderr
    assert [entry["event"] for entry in node.journal] == ["intent", "restored"]
