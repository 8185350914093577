"""The watch and its installer, against a fake root and fake tools."""

from base64 import b64encode

import pytest
from script_node import ScriptNode, sha
from synced import Synced

WANTED = "var/lib/phoenix-harden/wanted"
TIMER = "/etc/systemd/system/phoenix-harden-watch.timer"

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
        (self.root / WANTED).parent.mkdir(parents=True)
        self.tool("lxc-info", 'cat "$FAKE/pid-$2" 2>/dev/null; exit 0')
        self.tool("systemctl", SYSTEMCTL)

    def container(self, ctid, label, exe="/usr/lib/systemd/systemd"):
        (self.fake / f"pid-{ctid}").write_text(f"1{ctid}\n")
        self.has(f"/proc/1{ctid}/attr/apparmor/current", f"{label}\n\0")
        (self.root / f"proc/1{ctid}/exe").symlink_to(exe)

    def watch(self, wanted):
        (self.root / WANTED).write_text(wanted)
        done = self.sh("watch")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def install(self, timer, files, end="end"):
        lines = [
            f"{path} - -\n" if text is None else f"{path} 644 {b64encode(text.encode()).decode()}\n"
            for path, text in files.items()
        ]
        return self.sh("install-watch", self.run, timer, stdin="".join([*lines, end]))

    @property
    def steps(self):
        return [
            (entry["file"], entry["event"], entry["before"][:4], entry["after"][:4])
            for entry in self.journal
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
    assert node.watch("910 lxc-docker-nested enforce\n") == ""


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
    assert node.watch("910 lxc-docker-nested enforce\n952 lxc-docker-nested enforce\n") == (
        f"<4>CT 910 runs as {label}, not as lxc-docker-nested (enforce): "
        "harden --data only=910 confines it\n"
    )


def test_the_generated_profile_is_compared_as_it_is_written(node):
    stack = "lxc-953_</var/lib/lxc>//&:lxc-953_<-var-lib-lxc>:unconfined"
    node.container(953, f"{stack} (enforce)")
    assert node.watch("953 lxc-953_</var/lib/lxc> enforce\n") == ""


def test_a_stopped_container_is_no_line(node):
    assert node.watch("910 lxc-docker-nested enforce\n") == ""


def test_a_container_that_is_just_starting_is_no_line(node):
    node.container(910, "unconfined", exe="/usr/bin/lxc-start")
    assert node.watch("910 lxc-docker-nested enforce\n") == ""


def test_files_are_put_in_place_and_the_timer_is_read_back(node):
    done = node.install("on", {TIMER: "new\n", f"/{WANTED}": "910 lxc-a enforce\n"})
    assert (done.returncode, done.stderr) == (0, "")
    assert (node.root / TIMER[1:]).read_text() == "new\n"
    assert (node.root / TIMER[1:]).stat().st_mode & 0o777 == 0o644
    assert node.calls == [
        "daemon-reload",
        "enable -q phoenix-harden-watch.timer",
        "restart phoenix-harden-watch.timer",
        "is-active -q phoenix-harden-watch.timer",
    ]
    new = sha("new\n")[:4]
    assert node.steps[:2] == [(TIMER, "intent", "none", new), (TIMER, "done", "none", new)]
    assert list((node.root / TIMER[1:]).parent.iterdir()) == [node.root / TIMER[1:]]


def test_a_timer_that_does_not_run_is_a_failure(node):
    (node.fake / "broken").touch()
    done = node.install("on", {TIMER: "new\n"})
    assert done.returncode == 1
    assert "phoenix-harden-watch.timer does not run" in done.stderr


def test_the_before_image_is_kept_under_its_hash_and_systemd_not_told_of_labels(node):
    (node.root / WANTED).write_text("old\n")
    assert node.install("keep", {f"/{WANTED}": "new\n"}).returncode == 0
    old = sha("old\n")
    assert (node.run / "files" / old).read_text() == "old\n"
    assert not (node.fake / "calls").exists()


def test_each_step_is_on_disk_before_the_next_one(node):
    (node.root / WANTED).write_text("old\n")
    synced = Synced(node.fake, node.root / WANTED)
    assert node.install("keep", {f"/{WANTED}": "new\n"}).returncode == 0
    assert node.install("keep", {f"/{WANTED}": None}).returncode == 0
    assert synced.calls == [
        ("wanted.phoenix-new", "old"),
        (sha("old\n"), "old"),
        ("journal.jsonl", "old"),
        ("phoenix-harden", "new"),
        ("journal.jsonl", "new"),
        (sha("new\n"), "new"),
        ("journal.jsonl", "new"),
        ("phoenix-harden", ""),
        ("journal.jsonl", ""),
    ]


def test_removal_stops_the_timer_first_and_leaves_nothing(node):
    script = "/usr/local/lib/phoenix-harden/watch"
    files = {TIMER: "new\n", script: "new\n"}
    node.install("on", files)
    done = node.install("off", dict.fromkeys(files))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (node.root / TIMER[1:]).exists()
    assert not (node.root / script[1:]).parent.exists()
    assert node.calls[4:] == [
        "disable -q --now phoenix-harden-watch.timer",
        "daemon-reload",
        "is-active -q phoenix-harden-watch.timer",
    ]
    assert [entry[1] for entry in node.steps[4:]] == ["intent", "done"] * 2
    assert {entry[3] for entry in node.steps[4:]} == {"none"}


def test_what_arrives_cut_short_changes_nothing(node):
    done = node.install("on", {TIMER: "new\n"}, end="")
    assert done.returncode == 1
    assert not (node.root / TIMER[1:]).exists()
    assert not (node.fake / "calls").exists()
