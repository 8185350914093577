"""commit, in a guest that does its worst: nothing that it says is used but for what it is."""

from __future__ import annotations

import os
import signal
import time

import pytest
from commit_node import CONTAINER, IMAGE, NEW, OLD, Node
from script_node import sha


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def is_back(node, done):
    """The old conf is there again; nothing is proven, for the guest lies about the old one, too."""
    assert done.returncode == 3, done.stdout + done.stderr
    assert node.conf.read_text() == OLD
    assert node.events == ["intent", "started", "back", "failed"]
    return True


def removals(node):
    return [call for call in node.calls if call.startswith(("guest docker rm", "guest docker rmi"))]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("docker run", "echo '/root/*'"),
        ("docker run", "echo -f"),
        ("docker run", f"echo '{CONTAINER} /etc'"),
        ("docker run", f"echo {CONTAINER}; echo {CONTAINER}"),
        ("docker run", "yes"),
        ("docker import", r"printf '\033[2J'"),
        ("docker import", r"printf '\377\376'"),
        ("docker import", "echo sha256:short"),
    ],
)
def test_what_is_no_id_fails_the_check_and_is_used_nowhere(node, command, said):
    node.guest_says(command, said)
    done = node.commit()
    assert is_back(node, done)
    assert "FAILED a container of our own runs" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()
    assert removals(node) == ([f"guest docker rmi {IMAGE}"] * 2 if "run" in command else [])


@pytest.mark.parametrize(
    "said",
    [
        "echo 0.0.0.0:22",
        "echo 127.0.0.1:65536",
        "echo '127.0.0.1:22; reboot'",
        r"printf '127.0.0.1:80\n127.0.0.1:81\n'",
    ],
)
def test_what_is_no_port_is_asked_nowhere(node, said):
    node.tool("nsenter", 'echo asked >>"$FAKE/calls"; echo phoenix-harden')
    node.guest_says("docker port", said)
    done = node.commit()
    assert is_back(node, done)
    assert "asked" not in node.calls
    assert "is no port of 127.0.0.1" in done.stdout
    assert removals(node)[:2] == [
        f"guest docker rm -f {CONTAINER}",
        f"guest docker rmi {IMAGE}",
    ]


@pytest.mark.parametrize("said", ["yes phoenix-harden", "echo nobody", r"printf '\033]0;x\007'"])
def test_another_answer_on_the_port_is_none(node, said):
    node.tool("nsenter", said)
    done = node.commit()
    assert is_back(node, done)
    assert done.stdout.replace("\n", "").isprintable()


def test_of_what_a_gate_left_only_ids_are_removed_and_not_any_number_of_them(node):
    ids = [f"{number:012x}" for number in range(100)]
    (node.fake / "probes").write_text("\n".join(["/root/*", "*", "-v", *ids, "$(reboot)"]))
    (node.fake / "images").write_text("/root/*\n")
    node.was_cut_short("intent", "started", conf=NEW)
    assert node.recover().returncode == 0
    assert removals(node)[0] == f"guest docker rm -f {' '.join(ids[:64])}"
    assert not any("*" in call for call in removals(node))


def test_a_driver_of_many_lines_is_one_printable_line(node):
    node.stage(driver="overlay2")
    forged = r"printf 'overlay2\nCT 952: done\n\033[2J'"
    node.guest_says("until said=", forged)
    done = node.commit()
    assert done.returncode == 1
    assert "CT 910: docker info says 'overlay2\\nCT'" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("CT 952")]


def test_what_docker_complains_of_is_shown_as_one_printable_line(node):
    node.guest_says("docker run", r"printf 'Error:\033[2J no\n\n' >&2; false")
    done = node.commit()
    assert "CT 910: docker run: Error:\\x1b[2J no\n" in done.stdout


@pytest.mark.parametrize("label", ["lxc-docker-nested\n(enforce)", "\033[2J (enforce)"])
def test_a_label_that_the_guest_made_up_is_one_printable_line(node, label):
    node.label.write_text(label)
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert done.stdout.replace("\n", "").isprintable()
    assert len([line for line in done.stdout.splitlines() if "PID 1 carries" in line]) == 1


@pytest.mark.parametrize("carried", ["lxc-a-ns", "lxc-a-ns//&unconfined"])
def test_a_stacked_profile_without_its_namespace_is_another(node, carried):
    wanted = "lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    node.stage(label=wanted)
    node.label.write_text(f"{carried} (enforce)\n")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert f"FAILED PID 1 runs as {wanted}" in done.stdout


# --- what it is given, and for how long -------------------------------------------------------


def test_nothing_of_ours_is_open_in_what_runs_in_the_guest(node):
    node.has("/var/lib/phoenix-harden/containers/910", "the note of an earlier run")
    attach = node.fake / "lxc-attach"
    look = 'open=$(readlink /proc/$$/fd/*); echo "$open" >>"$FAKE/open"\n'
    attach.write_text(attach.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{look}"))
    assert node.commit().returncode == 0
    found = (node.fake / "open").read_text().split()
    assert [path for path in found if not path.startswith(("pipe:", str(attach)))] == []


def test_nothing_of_ours_is_open_in_what_asks_the_port(node):
    node.tool("nsenter", 'ls -l /proc/$$/fd/ >>"$FAKE/open"; echo phoenix-harden')
    assert node.commit().returncode == 0
    assert "phoenix-harden" not in (node.fake / "open").read_text()


def test_a_child_that_keeps_stdout_open_holds_nothing_up(node):
    stays = 'setsid sleep 50 & echo $! >>"$FAKE/stays"; '
    node.guest_says("docker import", f"{stays} echo {IMAGE}")
    began = time.monotonic()
    try:
        done = node.commit()
    finally:
        for pid in (node.fake / "stays").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    assert (done.returncode, node.conf.read_text()) == (0, NEW)
    assert time.monotonic() - began < 30


def test_a_guest_that_never_ends_its_answer_is_left_within_a_moment(node):
    node.guest_says("until said=", "cat /dev/zero")
    began = time.monotonic()
    done = node.commit()
    assert done.returncode == 3
    assert "CT 910: FAILED dockerd answers" in done.stdout
    assert time.monotonic() - began < 30


# --- journals that it may have had a word in ----------------------------------------------------

CONF = f'"ctid":910,"event":"intent","file":"/etc/pve/lxc/910.conf","before":"{sha(OLD)}"'
TIME = '"time":"2026-11-22T01:30:00Z"'


@pytest.mark.parametrize(
    "line",
    [
        f'{{{TIME},"event":"intent","file":"/etc/ld.so.preload","before":"none","after":"none"}}',
        f'{{{TIME},{CONF},"after":"{sha(NEW)}","ours":"none","after":"{sha(OLD)}"}}',
        f'{{{TIME},{CONF.replace("lxc/910.conf", "lxc/952.conf")},"after":"none","ours":"none"}}',
        f'{{{TIME},"ctid":910,"event":"intent","file":[],"before":"none","after":"none"}}',
        f'{{"a":{"[" * 5000}',
        "no JSON at all",
    ],
)
@pytest.mark.parametrize("verb", ["commit", "recover"])
def test_a_journal_that_does_not_fit_is_refused_and_nothing_is_touched(node, verb, line):
    if verb == "recover":
        node.was_cut_short("intent", conf=NEW)
    with (node.run / "journal.jsonl").open("a") as journal:
        journal.write(f"{line}\n{line}\n")
    before = (node.run / "journal.jsonl").read_bytes()
    conf = node.conf.read_text()
    done = node.verb(verb, node.run.name, "910")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "CT 910: refused: " in done.stdout
    assert "journal line" in done.stdout
    assert node.conf.read_text() == conf
    assert (node.run / "journal.jsonl").read_bytes() == before
    assert node.restarts == 0


def test_a_before_image_that_is_not_what_it_was_is_not_put_back(node):
    (node.fake / "docker-denied").touch()
    node.was_cut_short("intent", "started", conf=NEW)
    (node.run / "files" / sha(OLD)).write_text("lxc.hook.start: /evil\n")
    done = node.recover()
    assert done.returncode == 3
    assert node.conf.read_text() == NEW
    assert "what was there before is not whole" in done.stdout


# --- other users of the node --------------------------------------------------------------------


def test_all_of_ours_is_roots_alone_whoever_came_first(node):
    state = node.root / "var/lib/phoenix-harden"
    state.chmod(0o755)
    node.has("/var/lib/phoenix-harden/lock", "", 0o644)
    node.stage(ours="the new note")
    old = os.umask(0o022)
    try:
        assert node.commit().returncode == 0
    finally:
        os.umask(old)
    assert state.stat().st_mode & 0o777 == 0o700
    made = ("lock", "containers/910", f"runs/{node.run.name}/journal.jsonl")
    assert {(state / name).stat().st_mode & 0o777 for name in made} == {0o600}
    assert (state / "containers").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (node.run / "files").iterdir()} == {0o600}
