"""The watch and its installer, against a fake root and fake tools."""

import ast
import json
import os
import re
import time
from pathlib import Path

import pytest
from script_node import ALONE, FORKS, ScriptNode, sha
from synced import Fsynced

from node.pack import watch_script
from phoenix.apparmor.observed import ABI_OURS, MARKER, TUNABLES_SITE, ObservedAppArmor
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.confinement import STACKED
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code
from phoenix.plan.options import Options
from phoenix.plan.watch import wanted_text
from phoenix.pve.conf import PveConf
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer, ObservedPct
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

    def watch(self, wanted, code=None, told=0):
        """What the installed file prints; `code`: with which it ends, 1 if it prints anything.

        `told`: when it was told of a run's end, in seconds from now.
        """
        self.wanted.write_text(wanted)
        os.utime(self.wanted, (time.time() + told,) * 2)
        file = self.has(SCRIPT, watch_script(), 0o755)
        done = FORKS.run(f"{ALONE}{file.read_text()}", env=self.environment)
        expected = int(bool(done.stdout)) if code is None else code
        assert (done.returncode, done.stderr) == (expected, "")
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
        f"<4>label: CT 910 runs as {label}, not as lxc-docker-nested (enforce): "
        "phoenix harden --only 910 confines it\n"
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
    assert f"not as {STACK} (enforce): phoenix harden" in node.watch(f"910 {STACK} (enforce)\n")


def test_what_a_guest_calls_its_half_of_the_label_is_no_line_of_its_own(node):
    forged = "x\n<0>CT 952 runs as unconfined\x1b[2J"
    node.container(910, f"lxc-other//&:lxc-910_<-var-lib-lxc>:{forged} (enforce)")
    said = node.watch(PLAIN)
    assert said.count("\n") == 1
    half = ":lxc-910_<-var-lib-lxc>:x\\n<0>CT 952"
    assert said.startswith(f"<4>label: CT 910 runs as lxc-other//&{half}")
    assert said[:-1].isprintable()


def test_the_generated_profile_is_compared_as_it_is_written(node):
    stack = "lxc-953_</var/lib/lxc>//&:lxc-953_<-var-lib-lxc>:unconfined"
    node.container(953, f"{stack} (enforce)")
    assert node.watch("953 lxc-953_</var/lib/lxc> (enforce)\n") == ""


def test_a_line_of_the_version_before_says_what_renews_it(node):
    node.container(910, "lxc-docker-nested (enforce)")
    said = node.watch("910 lxc-docker-nested enforce\n")
    assert said.startswith("<4>drift.watch: line 1 of ")
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


# -- what else harden left -------------------------------------------------------------------------

CONF = """\
#lxc.mount.auto: proc:rw
arch: amd64
dev0: /dev/nvidia0,mode=0666
features: nesting=1,fuse=1
lxc.apparmor.profile: lxc-docker-nested
lxc.mount.auto = sys:rw
lxc.mount.entry:
[before]
lxc.apparmor.profile: unconfined
lxc.cap.drop: sys_time
"""
RIGHT = (
    "910 conf lxc.apparmor.profile: lxc-docker-nested\n"
    "910 conf features: fuse=1\n"
    "910 conf lxc.mount.auto: sys:rw\n"
    "910 conf lxc.mount.entry: \n"
    "910 conf dev: /dev/nvidia0,mode=0666\n"
)


def test_a_conf_that_has_what_harden_left_is_no_line(node):
    node.has("/etc/pve/lxc/910.conf", CONF)
    assert node.watch(RIGHT) == ""


@pytest.mark.parametrize(
    "wanted",
    [
        "lxc.apparmor.profile: lxc-a",
        "features: fuse=0",
        "features: use=1",
        "lxc.mount.auto: proc:rw",
        "lxc.cap.drop: sys_time",
        "dev: /dev/nvidia1",
        "dev: /dev/nvidia0",
    ],
)
def test_what_a_conf_lacks_is_one_warning_with_its_code_and_container(node, wanted):
    node.has("/etc/pve/lxc/910.conf", CONF)
    assert node.watch(f"910 conf {wanted}\n910 conf features: keyctl=1\n") == (
        f"<4>drift.container: the conf of CT 910 has no {wanted}: "
        "phoenix harden --only 910 puts it right\n"
    )


@pytest.mark.parametrize(
    ("conf", "wrong"),
    [
        ("arch: amd64\n", False),
        ("arch: amd64\n[before]\nlxc.apparmor.profile: unconfined\n", False),
        ("lxc.apparmor.profile: unconfined\n", True),
    ],
)
def test_a_generated_profile_is_a_conf_that_names_none(node, conf, wrong):
    node.has("/etc/pve/lxc/953.conf", conf)
    said = node.watch("953 conf lxc.apparmor.profile: generated\n")
    assert ("the conf of CT 953 has no line for Proxmox's generated profile" in said) is wrong


def test_what_a_stacked_container_has_is_understood(node):
    hook = "/usr/local/lib/phoenix-harden/namespace"
    node.has("/etc/pve/lxc/910.conf", f"lxc.hook.pre-start: {hook}\n")
    assert node.watch(f"910 conf lxc.hook.pre-start: {hook}\n") == ""
    said = node.watch(f"910 conf lxc.hook.post-stop: {hook}\n")
    assert f"the conf of CT 910 has no lxc.hook.post-stop: {hook}" in said


def test_it_understands_every_line_that_a_plan_writes(node):
    entry = {"apparmor_profile": "lxc-a", "apparmor_stacking": True}
    fleet = json.dumps({"lxc_configs": {"910": entry}, "tunables": {"dirs": ["/srv/"]}})
    managed = Managed({"fuse": "1"}, STACKED, ("/dev/nvidia0",)).render()
    conf = "".join(f"{raw.line}\n" for raw in STACKED)
    conf = PveConf(f"features: fuse=1\ndev0: /dev/nvidia0\n{conf}")
    observed = ObservedContainer(910, conf, False, None, None, None, "pve1", managed=managed)
    texts = {"lxc-a-ns": MARKER, ABI_OURS: "abi", TUNABLES_SITE: "@{dirs} = /srv/"}
    facts = NodeFacts(
        containers=ObservedPct("pve1", {910: observed}),
        apparmor=ObservedAppArmor(files=texts, hook="hook"),
    )
    text = wanted_text(parse_fleet(fleet.encode()), Options(), facts, NodePlan("pve1"))
    # the label, six of the conf, the profile, three files, and that tunables compile
    assert len(text.splitlines()) == 12
    assert "is not understood" not in node.watch(text)


def test_a_container_that_is_gone_is_no_line(node):
    assert node.watch(RIGHT) == ""


def test_a_container_is_told_of_once(node):
    node.container(910, "unconfined")
    node.has("/etc/pve/lxc/910.conf", "arch: amd64\n")
    assert node.watch(PLAIN + RIGHT).count("\n") == 1


PARSER = """\
case $* in
*" -S "*) for file; do :; done; echo x >>"$FAKE/compiled"; printf 'compiled '; cat "$file" ;;
*) ! [ -e "$FAKE/broken" ] || { echo 'tunables/home: line 1: wrong'; exit 1; } ;;
esac
"""
TEXT = "profile lxc-a {}\n"
PROFILE = f"profile lxc-a enforce {sha(TEXT)}\n"


@pytest.fixture
def kernel(node):
    """A node whose kernel has a profile that is right."""
    node.tool("apparmor_parser", PARSER)
    node.has("/etc/apparmor.d/lxc-a", TEXT)
    node.has(f"{LOADED}/name", "lxc-a\n")
    node.has(f"{LOADED}/mode", "enforce\n")
    node.has(f"{LOADED}/raw_data", f"compiled {TEXT}")
    return node


LOADED = "/sys/kernel/security/apparmor/policy/profiles/lxc-a.1"


def test_a_profile_that_is_as_harden_left_it_is_no_line_and_compiled_once(kernel):
    assert kernel.watch(PROFILE) == ""
    assert kernel.watch(PROFILE) == ""
    assert (kernel.fake / "compiled").read_text() == "x\n"


def test_a_changed_include_has_it_compiled_once_more(kernel):
    kernel.has("/etc/apparmor.d/tunables/home", "@{HOMEDIRS}=/home/\n")
    kernel.watch(PROFILE)
    kernel.has("/etc/apparmor.d/tunables/home", "@{HOMEDIRS}=/srv/\n")
    assert kernel.watch(PROFILE) == ""
    assert kernel.watch(PROFILE) == ""
    assert (kernel.fake / "compiled").read_text() == "x\n" * 2
    # and where that makes it another one
    kernel.tool("apparmor_parser", PARSER.replace("'compiled '", "'compiled for /srv '"))
    assert kernel.watch(PROFILE) == ""
    kernel.has("/etc/apparmor.d/tunables/home.d/site", "@{HOMEDIRS}+=/mnt/\n")
    assert "lxc-a: the kernel has another text" in kernel.watch(PROFILE)


def test_what_could_not_be_compared_once_is_compared_the_next_time(kernel):
    kernel.has(f"{LOADED}/raw_data", "compiled other\n")
    kernel.tool("apparmor_parser", "exit 1")
    assert kernel.watch(PROFILE) == ""
    kernel.tool("apparmor_parser", PARSER)
    assert "lxc-a: the kernel has another text" in kernel.watch(PROFILE)


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("/etc/apparmor.d/lxc-a", "other\n", "/etc/apparmor.d/lxc-a is not as harden left it"),
        (f"{LOADED}/name", "lxc-b\n", "profile lxc-a is not loaded"),
        (f"{LOADED}/mode", "complain\n", "profile lxc-a is loaded in complain mode"),
        (
            f"{LOADED}/raw_data",
            "compiled other\n",
            "profile lxc-a: the kernel has another text than /etc/apparmor.d/lxc-a",
        ),
    ],
)
def test_each_way_in_which_a_profile_is_another_is_a_warning(kernel, path, text, why):
    kernel.watch(PROFILE)
    kernel.has(path, text)
    said = kernel.watch(PROFILE)
    assert said == f"<4>drift.profile: {why}: harden installs and loads it\n"


@pytest.mark.parametrize("text", ["other\n", None])
def test_a_file_of_ours_that_is_another_or_gone_is_a_warning(node, text):
    hook = "/usr/local/lib/phoenix-harden/namespace"
    wanted = f"file {hook} {sha('hook')}\n"
    file = node.has(hook, "hook")
    assert node.watch(wanted) == ""
    file.unlink()
    if text is not None:
        node.has(hook, text)
    assert node.watch(wanted) == (
        f"<4>drift.file: {hook} is not as harden left it: harden installs it\n"
    )


def test_tunables_that_do_not_compile_are_a_warning_with_the_parsers_words(kernel):
    assert kernel.watch("tunables\n") == ""
    (kernel.fake / "broken").touch()
    said = kernel.watch("tunables\n")
    assert said.startswith("<4>drift.tunables: AppArmor's tunables do not compile, so no profile")
    assert said.endswith("tunables/home: line 1: wrong\n")


def test_it_fails_for_what_is_new_and_no_longer_once_that_was_told(node):
    node.container(910, "unconfined")
    first = node.watch(PLAIN, code=1)
    assert node.watch(PLAIN, code=0) == first
    node.container(952, "unconfined")
    both = f"{PLAIN}952 lxc-docker-nested (enforce)\n"
    node.watch(both, code=1)
    node.watch(both, code=0)
    # what was right for a while is new again
    node.watch("", code=0)
    node.watch(both, code=1)


@pytest.mark.parametrize(
    ("noted", "told", "looks"),
    [(-10, -300, False), (-3000, -9000, True), (-10, -15, True), (-300, -10, True)],
    ids=["under way", "broken off", "just ended", "long ended"],
)
def test_while_a_run_is_under_way_it_says_nothing(node, noted, told, looks):
    node.container(910, "unconfined")
    file = node.has("/var/lib/phoenix-harden/runs/r1/journal.jsonl", "")
    os.utime(file, (time.time() + noted,) * 2)
    assert bool(node.watch(PLAIN, told=told)) is looks


def test_the_last_step_of_a_run_tells_it_that_it_may_look(node):
    file = node.has(WANTED, PLAIN)
    os.utime(file, (1, 1))
    assert node.install("keep", {}).returncode == 0
    assert time.time() - file.stat().st_mtime < 60


def test_every_warning_begins_with_a_code_of_the_findings():
    source = (Path(__file__).parents[2] / "node/watch.py").read_text()
    said = set(re.findall(r'f"((?:[a-z]+\.)?[a-z]+): ', source))
    assert said == {
        Code.OTHER_LABEL,
        Code.DRIFT,
        Code.DRIFT_PROFILE,
        Code.DRIFT_FILE,
        Code.DRIFT_TUNABLES,
        Code.DRIFT_WATCH,
    }


# -- how it comes and goes -------------------------------------------------------------------------


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
