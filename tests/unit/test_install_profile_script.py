"""The verb that installs a profile, against a fake root and a fake parser."""

import pytest
from script_node import ScriptNode, sha
from synced import Fsynced

RUN = "r20261122T013000Z-beef"
NEW = "profile lxc-a { file, }\n"

#: Compiles what does not say "broken"; loads what does not say "refused".
PARSER = """\
kernel=$PHOENIX_ROOT/sys/kernel/security/apparmor/policy/profiles/lxc-a.1
for file; do :; done
echo "$*" >>"$FAKE/calls"
! grep -q broken "$file" || exit 1
[ "$1" = -Q ] && exit 0
! grep -q refused "$file" || exit 1
mode=enforce
! grep -q complain "$file" || mode=complain
mkdir -p "$kernel" && echo lxc-a >"$kernel/name" && echo "$mode" >"$kernel/mode"
cp "$file" "$kernel/raw_data"
"""


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.file = self.root / "etc/apparmor.d/lxc-a"
        self.file.parent.mkdir(parents=True)
        self.kernel = self.root / "sys/kernel/security/apparmor/policy/profiles"
        self.kernel.mkdir(parents=True)
        self.run = self.root / "var/lib/phoenix-harden/runs" / RUN
        self.tool("apparmor_parser", PARSER)

    def install(self, text=NEW, mode="enforce"):
        return self.verb("install-profile", "lxc-a", RUN, mode, request={"text": text})


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_a_profile_is_compiled_installed_loaded_and_read_back(node):
    done = node.install()
    assert done.returncode == 0, done.stdout
    assert node.file.read_text() == NEW
    assert node.file.stat().st_mode & 0o777 == 0o644
    tried, loaded = node.calls
    assert tried.startswith("-Q -K -T ")
    assert loaded == f"-r {node.file}"
    assert node.events == ["begin", "intent", "done"]


def test_what_the_kernel_has_then_is_noted(node):
    assert node.install().returncode == 0
    note = node.root / "var/lib/phoenix-harden/loaded"
    assert note.read_text() == f"lxc-a {sha(NEW)} {sha(NEW)}\n"


def test_a_profile_that_does_not_compile_changes_nothing(node):
    node.file.write_text("the old one\n")
    done = node.install("broken")
    assert done.returncode == 1
    assert "it does not compile on this node; nothing was changed" in done.stdout
    assert node.file.read_text() == "the old one\n"
    assert not (node.run / "journal.jsonl").exists()


@pytest.mark.parametrize("old", ["the old one\n", None])
def test_a_profile_that_the_kernel_refuses_leaves_the_old_state(node, old):
    if old:
        node.file.write_text(old)
    done = node.install("refused")
    assert done.returncode == 1
    assert "the old state is back" in done.stdout
    assert (node.file.read_text() if node.file.exists() else None) == old
    assert node.events == ["begin", "intent", "restored"]


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
    synced = Fsynced(node, node.file)
    assert node.install("new\n").returncode == 0
    assert synced.calls == [
        ("lxc-a", "old"),
        (sha("old\n"), "old"),
        ("journal.jsonl", "old"),
        ("journal.jsonl", "old"),
        ("lxc-a.dpkg-new", "old"),
        ("apparmor.d", "new"),
        ("etc", "new"),
        ("journal.jsonl", "new"),
        ("loaded.phoenix-new", "new"),
    ]


def test_the_way_back_is_on_disk_before_the_journal_says_so(node):
    node.file.write_text("old\n")
    synced = Fsynced(node, node.file)
    assert node.install("refused\n").returncode == 1
    assert synced.calls[-4:] == [
        ("lxc-a.dpkg-new", "refused"),
        ("apparmor.d", "old"),
        ("etc", "old"),
        ("journal.jsonl", "old"),
    ]


@pytest.mark.parametrize(
    ("what", "said", "events"),
    [
        (sha("old\n"), "cannot keep a copy in ", None),
        ("lxc-a.dpkg-new", "lxc-a; nothing was changed", ["begin", "intent", "restored"]),
        ("apparmor.d", "reach the disk; the old state is back", ["begin", "intent", "restored"]),
    ],
    ids=["the-copy", "the-new-file", "the-rename"],
)
def test_what_does_not_reach_the_disk_leaves_the_old_state(node, what, said, events):
    node.file.write_text("old\n")
    Fsynced(node, node.file).fails_for(what)
    done = node.install("new\n")
    assert (done.returncode, node.file.read_text()) == (1, "old\n")
    assert said in done.stdout
    assert (node.events if events else (node.run / "journal.jsonl").exists()) == (events or False)
    assert list(node.file.parent.iterdir()) == [node.file]


def test_no_profile_is_ever_removed_from_the_kernel(node):
    for text in (NEW, "refused", NEW, "broken"):
        node.install(text)
    assert not any("-R" in call for call in node.calls)


def test_a_name_that_only_its_guest_speaks_of_is_not_loaded(node):
    # what a guest loads in its own namespace may hold a newline
    node.has("/sys/kernel/security/apparmor/profiles", ":lxc-910:x\nlxc-a (enforce)\n")
    node.tool("apparmor_parser", "exit 0")
    done = node.install()
    assert done.returncode == 1
    assert "the kernel did not take it (not loaded); the old state is back" in done.stdout


@pytest.mark.parametrize("name", ["../lxc-a", "docker", "lxc-a\n", "lxc-a/b"])
def test_a_name_that_is_none_of_ours_is_refused(node, name):
    done = node.verb("install-profile", name, RUN, "enforce", request={"text": NEW})
    assert done.returncode == 2
    assert [*node.file.parent.iterdir()] == []


def test_what_is_no_run_becomes_no_folder(node):
    done = node.verb("install-profile", "lxc-a", "../../r1", "enforce", request={"text": NEW})
    assert done.returncode == 2
    assert "is not the id of a run" in done.stdout
    assert not node.file.exists()
