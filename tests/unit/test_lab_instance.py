"""A checkout's own lab: its status, QEMU's command line, and errors in one line."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lab import cli, machine, tools
from lab.errors import LabError
from lab.instance import Instance, State, ssh_targets
from lab.machine import Machine
from lab.qmp import monitor
from lab.recipe import STACKS, VARIABLE
from lab.ssh import SshTarget

STABLE, CURRENT = STACKS.values()
STATE = State("r", "i", "q", "tcg", machine="m", port=2222, ready=True)


@pytest.fixture(autouse=True)
def no_stack_is_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def checkout(tmp_path):
    for stack in STACKS:
        (tmp_path / ".lab" / stack).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def qemu(checkout):
    """A process whose command line names the checkout's disk, as QEMU's does."""
    managed = Machine(checkout / ".lab/stable", Path())
    command = [sys.executable, "-c", "input()", str(managed.disk)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    (checkout / ".lab/stable" / "pid").write_text(f"{process.pid}\n")
    while managed.pid() is None:  # /proc shows the command line a moment after exec
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_without_an_instance_nothing_runs(tmp_path):
    assert Instance(tmp_path, STABLE).status() == {"running": False, "accel": None, "ssh": None}
    assert ssh_targets(tmp_path) == {}


def test_status_tells_where_ssh_answers(checkout, qemu):
    Instance(checkout, STABLE).write(STATE)
    status = Instance(checkout, STABLE).status()
    key = str(checkout.resolve() / ".lab/stable/key")
    assert status == {
        "running": True,
        "accel": "tcg",
        "ssh": {"host": "127.0.0.1", "port": 2222, "user": "root", "key": key},
    }
    assert json.loads(json.dumps(status)) == status
    assert ssh_targets(checkout) == {"pve-lab": SshTarget("127.0.0.1", 2222, "root", Path(key))}


def test_the_named_stack_is_asked_and_otherwise_the_one_that_runs(checkout, qemu, monkeypatch):
    for stack in STACKS.values():
        Instance(checkout, stack).write(STATE)
    assert ssh_targets(checkout)["pve-lab"].key.parent.name == "stable"
    monkeypatch.setenv(VARIABLE, "current")
    assert ssh_targets(checkout) == {}


def test_a_stack_that_does_not_exist_is_refused_with_those_that_do(checkout, monkeypatch):
    monkeypatch.setenv(VARIABLE, "newest")
    with pytest.raises(LabError, match="no stack is called newest: there are stable, current"):
        ssh_targets(checkout)


def test_a_lab_that_is_still_booting_is_not_up(checkout, qemu):
    Instance(checkout, STABLE).write(State("i", "t", "q", "tcg", "k", 2222))
    assert ssh_targets(checkout) == {}


def test_a_pid_that_has_become_somebody_elses_is_not_ours(checkout):
    Instance(checkout, STABLE).write(STATE)
    (checkout / ".lab/stable" / "pid").write_text(f"{os.getpid()}\n")
    assert ssh_targets(checkout) == {}


def test_ending_leaves_a_process_that_is_not_ours_alone(checkout):
    (checkout / ".lab/stable" / "pid").write_text(f"{os.getpid()}\n")
    Machine(checkout / ".lab/stable", Path()).end()  # would end this test


def test_a_broken_state_file_counts_as_none(checkout):
    for text in ("", "{", '{"port": 1}', "[]"):
        (checkout / ".lab/stable" / "instance.json").write_text(text)
        assert Instance(checkout, STABLE).read() is None


@pytest.mark.parametrize(
    ("accel", "expected"),
    [
        ("tcg", ["-accel tcg,thread=multi", "-cpu max"]),
        ("kvm", ["-accel kvm", "-cpu host"]),
    ],
)
def test_qemu_gets_the_accelerator_and_its_cpu(accel, expected):
    line = " ".join(arguments(accel=accel))
    assert all(part in line for part in expected)


@pytest.mark.parametrize(("accel", "expected"), [("tcg", True), ("kvm", False)])
def test_only_where_the_tsc_goes_on_in_a_saved_state_the_kernel_is_told_not_to_use_it(
    accel, expected
):
    line = arguments(accel=accel)
    assert ("tsc=unstable" in line[line.index("-append") + 1].split()) is expected


def test_qemu_listens_on_this_machine_only():
    assert "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22" in arguments()


@pytest.mark.parametrize("bases", [("guest",), ("guest", "older")])
def test_the_guests_bases_are_read_only_and_the_disk_is_not(tmp_path, bases):
    for name in bases:
        (tmp_path / f"{name}.ext4").touch()
    drives = [text for text in arguments(trees=tmp_path) if text.startswith("file=")]
    assert [Path(text.partition(",")[0]).stem for text in drives] == ["disk", *bases]
    assert [("readonly=on" in text) for text in drives] == [False, *(True for _ in bases)]


def test_the_key_reaches_the_node_as_a_credential():
    value = next(text for text in arguments() if text.startswith("type=11"))
    assert base64.b64decode(value.rpartition("root=")[2]) == b"ssh-ed25519 AAAA me"


def test_a_comma_in_a_path_is_quoted_for_qemu():
    drives = [text for text in arguments(Path("/a,b")) if text.startswith("file=")]
    assert drives[0].startswith("file=/a,,b/disk.qcow2,")


def test_a_state_is_loaded_only_when_named():
    assert "-loadvm" not in arguments()
    assert arguments(load="clean-tcg")[-2:] == ["-loadvm", "clean-tcg"]


def arguments(folder=Path("/folder"), accel="tcg", load=None, trees=Path("/trees")):
    return Machine(folder, trees).arguments(
        accel=accel, port=2222, public_key="ssh-ed25519 AAAA me", load=load
    )


def test_free_ports_can_be_bound():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", machine.free_port()))


def test_the_monitor_is_reached_however_long_the_path_is(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    heard = []

    def serve(server):
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as file:
            file.write(b'{"QMP": {}}\n')
            file.flush()
            for answer in (
                b'{"return": {}}\n',
                b'{"event": "X"}\n{"return": "No such snapshot"}\n',
            ):
                heard.append(json.loads(file.readline()))
                file.write(answer)
                file.flush()

    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)
        try:
            server.bind("qmp.sock")
        finally:
            os.chdir(here)
        server.listen()
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with (
            pytest.raises(LabError, match="refused loadvm nothing: No such snapshot"),
            monitor(folder / "qmp.sock", timeout=10) as qemu,
        ):
            qemu.human("loadvm nothing")
        thread.join(10)
    assert heard[1]["arguments"] == {"command-line": "loadvm nothing"}


def test_a_missing_monitor_is_a_clear_error(tmp_path):
    with pytest.raises(LabError, match="monitor does not answer"), monitor(tmp_path / "x", 1):
        pass


@pytest.mark.parametrize("command", [["ssh", "--", "true"], ["reset"]])
def test_what_needs_a_running_lab_says_how_to_start_it(command, monkeypatch, checkout, capsys):
    monkeypatch.setattr(cli, "CHECKOUT", checkout)
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "phoenix lab up" in said


def test_status_of_a_lab_that_is_down_is_no_error(monkeypatch, checkout, capsys):
    monkeypatch.setattr(cli, "CHECKOUT", checkout)
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_a_missing_tool_is_one_command_to_run(monkeypatch):
    monkeypatch.setattr(tools.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(tools, "missing_packages", lambda root, tests: ["mmdebstrap", "uidmap"])
    with pytest.raises(LabError, match=r"run 'sudo apt-get install .* mmdebstrap uidmap'"):
        tools.ensure()


def test_what_only_tests_take_is_asked_for_by_them_alone(monkeypatch):
    monkeypatch.setattr(tools, "find", lambda program: None)
    lab = tools.missing_packages(root=True, tests=False)
    assert {*tools.missing_packages(root=True, tests=True)} - {*lab} == {
        "apparmor",
        "binutils-x86-64-linux-gnu",
        "binutils-aarch64-linux-gnu",
        "binutils-arm-linux-gnueabihf",
        "chromium",
        "groff-base",
        "qemu-user",
    }


def test_the_ssh_command_passes_the_remote_command_on():
    target = SshTarget("127.0.0.1", 2222, "root", Path("/key"))
    assert target.command(["pct", "list"])[-4:] == ["root@127.0.0.1", "--", "pct", "list"]
    assert target.command([])[-1] == "root@127.0.0.1"


def test_each_stack_has_a_folder_of_its_own(checkout):
    assert Instance(checkout, CURRENT).folder == checkout.resolve() / ".lab/current"
