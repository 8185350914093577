"""The watch and its installer, against a fake root and fake tools."""

import ast
import subprocess
import sys

import pytest
from script_node import ScriptNode, sha
from synced import Fsynced

from node.pack import watch_script
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER, WANTED

RUN = "r20261122T013000Z-beef"
PLAIN = "910 lxc-docker-nested (enforce)\n"
STACK = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"
MODES = {SCRIPT: "755", SERVICE: "644", TIMER: "644", WANTED: "600"}

SYSTEMCTL = """\
echo "$*" >>"$FAKE/calls"
case "$*" in
"is-active -q "*) [ -e "$FAKE/active" ] ;;
"restart "*) [ -e "$FAKE/broken" ] || touch "$FAKE/active" ;;
"disable -q --now "*) rm -f "$FAKE/active" ;;
esac
"""


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.run = self.root / "var/lib/phoenix-harden/runs" / RUN
        self.wanted = self.has(WANTED, "")
        self.tool("systemctl", SYSTEMCTL)

    def container(self, ctid, label, exe="/usr/lib/systemd/systemd"):
        self.has(f"/sys/fs/cgroup/lxc/{ctid}/cgroup.procs", f"1{ctid}\n")
        self.has(f"/proc/1{ctid}/status", f"Name:\tsystemd\nNSpid:\t1{ctid}\t1\n")
        self.has(f"/proc/1{ctid}/attr/apparmor/current", f"{label}\n\0")
        (self.root / f"proc/1{ctid}/exe").symlink_to(exe)

    def watch(self, wanted):
        """What the installed file prints."""
        self.wanted.write_text(wanted)
        file = self.has(SCRIPT, watch_script(), 0o755)
        done = subprocess.run(
            [sys.executable, "-I", file], env=self.environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def install(self, timer, files):
        asked = [[path, MODES[path], text] for path, text in files.items()]
        return self.verb("install-watch", RUN, timer, request={"files": asked})

    @property
    def steps(self):
        return [
            (entry["file"], entry["event"], entry.get("before", "")[:4], entry["after"][:4])
            for entry in self.journal[1:]
        ]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.mark.parametrize(
    "label",
    [
        "lxc-docker-nested (enforce)",
        "lxc-docker-nested//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)",
    ],
)
def test_a_container_under_its_label_plain_or_stacked_is_no_line(node, label):
    node.container(910, label)
    assert node.watch(PLAIN) == ""


@pytest.mark.parametrize(
    "label",
    [
        "unconfined",
        "lxc-docker-nested (complain)",
        "lxc-docker-nested2 (enforce)",
        "lxc-docker-nested2//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)",
    ],
)
def test_another_label_is_one_warning_that_says_what_confines_it(node, label):
    node.container(910, label)
    node.container(952, "lxc-docker-nested (enforce)")
    assert node.watch(f"{PLAIN}952 lxc-docker-nested (enforce)\n") == (
        f"<4>CT 910 runs as {label}, not as lxc-docker-nested (enforce): "
        "harden --data only=910 confines it\n"
    )


def test_a_stacked_profile_is_compared_with_its_namespace(node):
    wanted = f"910 {STACK} (enforce)\n"
    node.container(910, f"{STACK.replace('unconfined', 'docker-default')} (enforce)")
    assert node.watch(wanted) == ""


@pytest.mark.parametrize(
    "inner", ["", "//&:lxc-911_<-var-lib-lxc>:unconfined", "//&docker-default", "//&lxc-910"]
)
def test_a_stacked_profile_without_its_namespace_is_a_warning(node, inner):
    node.container(910, f"lxc-docker-nested-ns{inner} (enforce)")
    assert f"not as {STACK} (enforce): harden" in node.watch(f"910 {STACK} (enforce)\n")


def test_what_a_guest_calls_its_half_of_the_label_is_no_line_of_its_own(node):
    forged = "x\n<0>CT 952 runs as unconfined\x1b[2J"
    node.container(910, f"lxc-other//&:lxc-910_<-var-lib-lxc>:{forged} (enforce)")
    said = node.watch(PLAIN)
    assert said.count("\n") == 1
    assert said.startswith("<4>CT 910 runs as lxc-other//&:lxc-910_<-var-lib-lxc>:x\\n<0>CT 952")
    assert said[:-1].isprintable()


def test_the_generated_profile_is_compared_as_it_is_written(node):
    stack = "lxc-953_</var/lib/lxc>//&:lxc-953_<-var-lib-lxc>:unconfined"
    node.container(953, f"{stack} (enforce)")
    assert node.watch("953 lxc-953_</var/lib/lxc> (enforce)\n") == ""


def test_a_line_of_the_version_before_says_what_renews_it(node):
    node.container(910, "lxc-docker-nested (enforce)")
    said = node.watch("910 lxc-docker-nested enforce\n")
    assert said.startswith("<4>line 1 of ")
    assert "is not understood: harden writes it anew" in said


def test_the_watch_is_a_text_that_says_whose_it_is():
    text = watch_script()
    assert text.startswith("#!/usr/bin/python3 -I\n# Managed by phoenix-harden: ")
    assert text.isascii()
    ast.parse(text)


def test_a_stopped_container_is_no_line(node):
    assert node.watch(PLAIN) == ""


def test_a_container_that_is_just_starting_is_no_line(node):
    node.container(910, "unconfined", exe="/usr/bin/lxc-start")
    assert node.watch(PLAIN) == ""


def test_files_are_put_in_place_and_the_timer_is_read_back(node):
    done = node.install("on", {TIMER: "new\n", WANTED: "910 lxc-a enforce\n"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (node.root / TIMER[1:]).read_text() == "new\n"
    assert (node.root / TIMER[1:]).stat().st_mode & 0o777 == 0o644
    assert node.calls == [
        "daemon-reload",
        "enable -q phoenix-harden-watch.timer",
        "restart phoenix-harden-watch.timer",
        "is-active -q phoenix-harden-watch.timer",
    ]
    new = sha("new\n")[:4]
    assert node.steps[:2] == [(TIMER, "intent", "none", new), (TIMER, "done", "", new)]
    assert list((node.root / TIMER[1:]).parent.iterdir()) == [node.root / TIMER[1:]]


def test_a_timer_that_does_not_run_is_a_failure(node):
    (node.fake / "broken").touch()
    done = node.install("on", {TIMER: "new\n"})
    assert done.returncode == 1
    assert "phoenix-harden-watch.timer does not run" in done.stdout


def test_the_before_image_is_kept_under_its_hash_and_systemd_not_told_of_labels(node):
    node.wanted.write_text("old\n")
    assert node.install("keep", {WANTED: "new\n"}).returncode == 0
    old = sha("old\n")
    assert (node.run / "files" / old).read_text() == "old\n"
    assert not (node.fake / "calls").exists()


def test_each_step_is_on_disk_before_the_next_one(node):
    node.wanted.write_text("old\n")
    synced = Fsynced(node, node.wanted)
    assert node.install("keep", {WANTED: "new\n"}).returncode == 0
    assert node.install("keep", {WANTED: None}).returncode == 0
    files = [call for call in synced.calls if call[0] != "phoenix-harden"]
    assert files == [
        (sha("old\n"), "old"),
        ("journal.jsonl", "old"),
        ("journal.jsonl", "old"),
        ("wanted.phoenix-new", "old"),
        ("journal.jsonl", "new"),
        (sha("new\n"), "new"),
        ("journal.jsonl", "new"),
        ("journal.jsonl", ""),
    ]


@pytest.mark.parametrize(("text", "after"), [("new\n", "new"), (None, "")])
def test_the_folder_is_on_disk_before_the_journal_says_so(node, text, after):
    (node.root / TIMER[1:]).parent.mkdir(parents=True)
    (node.root / TIMER[1:]).write_text("old\n")
    synced = Fsynced(node, node.root / TIMER[1:])
    assert node.install("keep", {TIMER: text}).returncode == 0
    assert synced.calls[-3:] == [("system", after), ("systemd", after), ("journal.jsonl", after)]


def test_removal_stops_the_timer_first_and_leaves_nothing(node):
    files = {TIMER: "new\n", SCRIPT: "new\n"}
    node.install("on", files)
    done = node.install("off", dict.fromkeys(files))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (node.root / TIMER[1:]).exists()
    assert not (node.root / SCRIPT[1:]).parent.exists()
    assert node.calls[4:] == [
        "disable -q --now phoenix-harden-watch.timer",
        "daemon-reload",
        "is-active -q phoenix-harden-watch.timer",
    ]
    assert [entry[1] for entry in node.steps[4:]] == ["intent", "done"] * 2
    assert {entry[3] for entry in node.steps[4:]} == {"none"}


def test_a_unit_that_is_only_brought_up_to_date_is_read_anew_by_systemd(node):
    assert node.install("keep", {SERVICE: "new\n"}).returncode == 0
    assert node.calls == ["daemon-reload"]


@pytest.mark.parametrize(
    ("path", "mode"), [("/etc/ld.so.preload", "644"), (WANTED + "x", "600"), (TIMER, "4755")]
)
def test_another_file_or_mode_is_refused_before_anything_is_done(node, path, mode):
    files = [[TIMER, "644", "new\n"], [path, mode, "new\n"]]
    done = node.verb("install-watch", RUN, "on", request={"files": files})
    assert done.returncode == 2
    assert not (node.root / TIMER[1:]).exists()
    assert not (node.root / path[1:]).exists()
    assert node.calls == []


def test_a_file_that_cannot_be_written_is_named(node):
    (node.root / "etc").write_text("no folder")
    done = node.install("keep", {TIMER: "new\n"})
    assert done.returncode == 1
    assert f"watch: cannot replace {TIMER}" in done.stdout
    assert node.events == ["begin", "intent"]
