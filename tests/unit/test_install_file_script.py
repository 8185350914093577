"""The verb that installs a file of ours beside the profiles, against a fake root."""

import subprocess
import sys

import pytest
from script_node import ScriptNode, sha
from synced import Fsynced

from node.pack import stdin

RUN = "r20261122T013000Z-beef"
NAME = "/usr/local/lib/phoenix-harden/namespace"
ABI = "/etc/apparmor.d/abi/phoenix-harden"
NEW = "#!/bin/sh\necho new\n"


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.file = self.root / NAME[1:]
        self.run = self.root / "var/lib/phoenix-harden/runs" / RUN

    def install(self, text=NEW):
        return self.verb("install-file", NAME, RUN, request={"text": text})


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_it_is_there_for_everybody_to_run_whatever_the_umask(node):
    done = node.install()
    assert (done.returncode, done.stdout) == (0, "")
    assert node.file.read_text() == NEW
    assert node.file.stat().st_mode & 0o777 == 0o755
    assert node.file.parent.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in node.file.parent.iterdir()] == ["namespace"]


def test_each_has_the_mode_that_it_needs(node):
    assert node.verb("install-file", ABI, RUN, request={"text": "file {\n}\n"}).returncode == 0
    file = node.root / ABI[1:]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("file {\n}\n", 0o644)


@pytest.fixture
def compiled(node):
    """A profile of ours that the kernel has, compiled by the abi."""
    node.has("/etc/apparmor.d/lxc-a", "# Managed by phoenix-harden:\nabi <abi/phoenix-harden>,\n")
    kernel = "/sys/kernel/security/apparmor/policy/profiles/lxc-a.1"
    node.has(f"{kernel}/name", "lxc-a\n")
    node.has(f"{kernel}/mode", "enforce\n")
    node.tool("apparmor_parser", 'echo "$*" >>"$FAKE/calls"; ! grep -q bad "$PHOENIX_ROOT"' + ABI)
    return node


def test_what_the_kernel_has_is_compiled_anew_by_another_abi(compiled):
    compiled.has(ABI, "old")
    assert compiled.verb("install-file", ABI, RUN, request={"text": "new"}).returncode == 0
    (call,) = (compiled.fake / "calls").read_text().splitlines()
    assert call.split()[-3:] == ["-r", "-T", f"{compiled.root}/etc/apparmor.d/lxc-a"]


def test_an_abi_by_which_a_profile_does_not_load_is_taken_back(compiled):
    compiled.has(ABI, "old")
    done = compiled.verb("install-file", ABI, RUN, request={"text": "bad"})
    assert done.returncode == 1
    assert "a profile of ours does not load; the old text is back" in done.stdout
    assert (compiled.root / ABI[1:]).read_text() == "old"
    assert compiled.events[-1] == "restored"


@pytest.mark.parametrize("path", ["/etc/passwd", f"{NAME}/../watch", "usr/local", ""])
def test_no_other_file_is_touched(node, path):
    done = node.verb("install-file", path, RUN, request={"text": NEW})
    assert (done.returncode, done.stdout) == (2, f"{path}: refused: no file of ours\n")
    assert not node.run.exists()


def test_the_journal_says_what_was_there_and_what_is(node):
    node.install()
    _, intent, done = node.journal
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
    assert node.journal[3]["before"] == sha("the old one\n")
    assert (node.run / "files" / sha("the old one\n")).read_text() == "the old one\n"


def test_each_step_is_on_disk_before_the_next_one(node):
    node.install("old\n")
    synced = Fsynced(node, node.file)
    assert node.install("new\n").returncode == 0
    assert synced.calls == [
        (sha("new\n"), "old"),
        (sha("old\n"), "old"),
        ("journal.jsonl", "old"),
        ("namespace.phoenix-new", "old"),
        ("phoenix-harden", "new"),
        ("lib", "new"),
        ("journal.jsonl", "new"),
    ]


def test_a_text_that_is_cut_short_changes_nothing(node):
    whole = stdin({"text": NEW})
    done = subprocess.run(
        [sys.executable, "-I", "-c", node.boot, "install-file", NAME, RUN],
        input=whole[:-9],
        env=node.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "did not arrive whole; nothing was changed" in done.stdout
    assert not node.file.exists()
    assert not (node.run / "journal.jsonl").exists()


def test_one_that_nobody_could_run_can_be_run_again(node):
    node.install()
    node.file.chmod(0o644)
    assert node.install().returncode == 0
    assert node.file.stat().st_mode & 0o777 == 0o755


def test_what_is_in_place_and_may_not_last_is_said(node):
    node.install("old\n")
    Fsynced(node, node.file).fails_for("phoenix-harden")
    done = node.install("new\n")
    assert done.returncode == 1
    assert "is in place, but " in done.stdout
    assert "does not reach the disk" in done.stdout
    assert (node.file.read_text(), node.events[-1]) == ("new\n", "intent")


def test_a_run_whose_folder_takes_nothing_more_changes_nothing(node):
    node.run.mkdir(parents=True)
    (node.run / "files").write_text("no folder")
    done = node.install()
    assert done.returncode == 1
    assert f"/var/lib/phoenix-harden/runs/{RUN}; nothing was changed" in done.stdout
    assert not node.file.exists()
    assert "intent" not in node.events


def test_a_place_that_cannot_be_written_changes_nothing(node):
    node.file.parent.parent.mkdir(parents=True)
    node.file.parent.write_text("no folder")
    done = node.install()
    assert done.returncode == 1
    assert "cannot be written; nothing was changed" in done.stdout
    assert node.events == ["begin", "intent", "restored"]
