"""The script that installs a profile, against a fake root and a fake parser."""

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from synced import Synced

SCRIPT = Path(__file__).parents[2] / "templates/node/install-profile.sh"
NEW = "profile lxc-a { file, }\n"

#: Compiles what does not say "broken"; loads what does not say "refused".
PARSER = """\
#!/bin/sh
for file; do :; done
echo "$*" >>"$FAKE/calls"
! grep -q broken "$file" || exit 1
[ "$1" = -Q ] && exit 0
! grep -q refused "$file" || exit 1
mode=enforce
! grep -q complain "$file" || mode=complain
echo "lxc-a ($mode)" >"$PHOENIX_ROOT/sys/kernel/security/apparmor/profiles"
"""


class Node:
    def __init__(self, folder):
        self.root, self.fake = folder / "root", folder / "fake"
        self.file = self.root / "etc/apparmor.d/lxc-a"
        self.loaded = self.root / "sys/kernel/security/apparmor/profiles"
        self.run = folder / "run"
        for path in (self.file.parent, self.loaded.parent, self.fake):
            path.mkdir(parents=True)
        self.loaded.write_text("")
        (self.fake / "apparmor_parser").write_text(PARSER)
        (self.fake / "apparmor_parser").chmod(0o755)

    def install(self, text=NEW, mode="enforce"):
        return subprocess.run(
            ["sh", "-c", SCRIPT.read_text(), "install-profile", "lxc-a", self.run, mode],
            input=base64.encodebytes(text.encode()),
            env={
                "PATH": f"{self.fake}:{os.environ['PATH']}",
                "PHOENIX_ROOT": str(self.root),
                "FAKE": str(self.fake),
            },
            capture_output=True,
            timeout=30,
        )

    @property
    def events(self):
        lines = (self.run / "journal.jsonl").read_text().splitlines()
        return [json.loads(line)["event"] for line in lines]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_a_profile_is_compiled_installed_loaded_and_read_back(node):
    done = node.install()
    assert done.returncode == 0, done.stderr
    assert node.file.read_text() == NEW
    assert node.file.stat().st_mode & 0o777 == 0o644
    tried, loaded = (node.fake / "calls").read_text().splitlines()
    assert tried.startswith("-Q -K -T ")
    assert loaded == f"-r {node.file}"
    assert node.events == ["intent", "done"]


def test_a_profile_that_does_not_compile_changes_nothing(node):
    node.file.write_text("the old one\n")
    done = node.install("broken")
    assert done.returncode == 1
    assert b"it does not compile on this node; nothing was changed" in done.stderr
    assert node.file.read_text() == "the old one\n"
    assert not (node.run / "journal.jsonl").exists()


@pytest.mark.parametrize("old", ["the old one\n", None])
def test_a_profile_that_the_kernel_refuses_leaves_the_old_state(node, old):
    if old:
        node.file.write_text(old)
    done = node.install("refused")
    assert done.returncode == 1
    assert b"the old state is back" in done.stderr
    assert (node.file.read_text() if node.file.exists() else None) == old
    assert node.events == ["intent", "restored"]


def test_a_profile_for_learning_is_read_back_in_complain_mode(node):
    learning = "profile lxc-a flags=(complain) { file, }\n"
    assert node.install(learning, "complain").returncode == 0
    assert node.file.read_text() == learning
    assert node.install(learning, "enforce").returncode == 1


def test_the_before_image_of_a_profile_is_kept_under_its_hash(node):
    node.file.write_text("the old one\n")
    node.install()
    assert [path.read_text() for path in (node.run / "files").iterdir()] == ["the old one\n"]


def test_each_step_is_on_disk_before_the_next_one(node):
    node.file.write_text("old\n")
    synced = Synced(node.fake, node.file)
    assert node.install("new\n").returncode == 0
    assert synced.calls == [
        (hashlib.sha256(b"old\n").hexdigest(), "old"),
        ("journal.jsonl", "old"),
        ("lxc-a.dpkg-new", "old"),
        ("apparmor.d", "new"),
        ("journal.jsonl", "new"),
    ]


def test_the_way_back_is_on_disk_before_the_journal_says_so(node):
    node.file.write_text("old\n")
    synced = Synced(node.fake, node.file)
    assert node.install("refused\n").returncode == 1
    assert synced.calls[-3:] == [
        ("lxc-a.dpkg-new", "refused"),
        ("apparmor.d", "old"),
        ("journal.jsonl", "old"),
    ]


@pytest.mark.parametrize(
    ("what", "said", "events"),
    [
        (hashlib.sha256(b"old\n").hexdigest(), "cannot keep a copy in ", None),
        ("lxc-a.dpkg-new", "lxc-a; nothing was changed", ["intent", "restored"]),
        ("apparmor.d", "reach the disk; the old state is back", ["intent", "restored"]),
    ],
    ids=["the-copy", "the-new-file", "the-rename"],
)
def test_what_does_not_reach_the_disk_leaves_the_old_state(node, what, said, events):
    node.file.write_text("old\n")
    Synced(node.fake, node.file).fails_for(what)
    done = node.install("new\n")
    assert (done.returncode, node.file.read_text()) == (1, "old\n")
    assert said in done.stderr.decode()
    assert (node.events if events else (node.run / "journal.jsonl").exists()) == (events or False)
    assert list(node.file.parent.iterdir()) == [node.file]


def test_no_profile_is_ever_removed_from_the_kernel():
    assert "apparmor_parser -R" not in SCRIPT.read_text()
