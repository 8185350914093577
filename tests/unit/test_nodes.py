"""The nodes that `phoenix` asks, with a program in ssh's place that runs what it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.ssh import SshTarget
from phoenix.cli.nodes import Node, NodeError, nodes

RUNS_IT = 'for last; do :; done; exec sh -c "$last"\n'


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Puts a shell script in ssh's place."""

    def put(script: str) -> None:
        path = tmp_path / "bin" / "ssh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{tmp_path}/words\n{script}")
        path.chmod(0o755)
        # the node's python3, whatever the tests run under
        (path.parent / "python3").unlink(missing_ok=True)
        (path.parent / "python3").symlink_to(sys.executable)

    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("PHOENIX_NODES", raising=False)
    monkeypatch.delenv("PHOENIX_CLUSTER", raising=False)
    # the checkout's own lab is not seen
    monkeypatch.setattr("phoenix.cli.nodes._CHECKOUT", tmp_path)
    put(RUNS_IT)
    put.words = lambda: (tmp_path / "words").read_text().splitlines()
    return put


def failure(node: Node) -> str:
    with pytest.raises(NodeError) as caught:
        node.ask({"watch": {}})
    return str(caught.value)


PVE1 = Node("pve1", "root@pve1")


def test_a_node_is_asked_by_the_program_that_is_sent_to_it(ssh):
    assert [*PVE1.ask({"watch": {}})] == ["watch"]


def test_this_machine_is_asked_without_ssh(ssh):
    ssh("exit 1")
    assert [*Node("here").ask({"watch": {}})] == ["watch"]


def test_what_a_login_shell_prints_is_no_answer(ssh):
    ssh(f"echo welcome\necho '{{'\n{RUNS_IT}")
    assert [*PVE1.ask({"watch": {}})] == ["watch"]


def test_no_host_key_is_accepted_whatever_ssh_config_says(ssh):
    PVE1.ask({"watch": {}})
    words = ssh.words()
    # what comes first counts
    first = next(word for word in words if word.startswith("StrictHostKeyChecking"))
    assert first == "StrictHostKeyChecking=yes"
    assert {"BatchMode=yes", "ServerAliveInterval=5", "ControlMaster=no"} <= {*words}
    assert words[words.index("--") + 1] == "root@pve1"


def test_the_options_are_those_of_the_real_ssh(tmp_path):
    command = PVE1._command("observe")
    command[1:2] = ["-G", "-F", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"stricthostkeychecking true", "batchmode yes"} <= {*done.stdout.splitlines()}


def test_an_unknown_host_key_is_told_with_what_to_do(ssh):
    ssh("echo 'Host key verification failed.' >&2; exit 255")
    said = failure(PVE1)
    assert said.startswith("pve1: Host key verification failed.: log in once by hand, compare")
    assert said.endswith("accept it: ssh root@pve1")


def test_a_key_that_is_not_accepted_is_told_with_what_to_do(ssh):
    ssh("echo 'root@pve1: Permission denied (publickey,password).' >&2; exit 255")
    assert "ssh-copy-id root@pve1" in failure(PVE1)


def test_every_other_problem_of_ssh_is_told_in_its_words(ssh):
    ssh("echo 'ssh: connect to host pve1 port 22: Connection refused' >&2; exit 255")
    assert failure(PVE1) == (
        "pve1: ssh: connect to host pve1 port 22: Connection refused: see whether this works: "
        "ssh root@pve1"
    )


def test_a_node_without_python_is_told(ssh):
    ssh("echo 'sh: 1: python3: not found' >&2; exit 127")
    assert "apt install python3" in failure(PVE1)


def test_what_fails_on_the_node_is_told_in_the_nodes_words(ssh):
    with pytest.raises(NodeError, match=r"^pve1: observe: no such section: nonsense$"):
        PVE1.ask({"nonsense": {}})


def test_a_node_that_ends_without_a_word_is_told_with_its_exit_code(ssh):
    ssh("cat >/dev/null; exit 3")
    assert failure(PVE1) == "pve1: ended with exit code 3"


def test_an_answer_that_is_none_is_no_traceback(ssh):
    ssh("cat >/dev/null; echo '{\"denials\": '")
    assert failure(PVE1) == "pve1: the node's answer did not arrive whole: run again"


def test_what_a_node_says_cannot_move_the_cursor(ssh):
    ssh("printf '\\033[2Jgone\\n' >&2; exit 255")
    assert "\x1b" not in failure(PVE1)


def test_a_machine_without_ssh_says_what_to_install(ssh, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert failure(PVE1).endswith("apt install openssh-client")


def test_an_installation_without_the_program_says_what_to_do(ssh, monkeypatch):
    monkeypatch.setitem(sys.modules, "node", None)
    assert failure(PVE1).endswith("run make .venv/done in its checkout")


def test_lines_are_given_as_they_come_and_stdin_stays_open(ssh):
    # the first two lines of stdin are the program and the request; the third never comes
    ssh("read p; read r; echo one; echo two; read more; echo three")
    with PVE1.stream("follow", {}) as lines:
        assert [next(lines), next(lines)] == ["one", "two"]


def test_a_silent_stream_gives_an_empty_line_each_second(ssh):
    ssh("read p; read r; read more")
    with PVE1.stream("follow", {}) as lines:
        assert next(lines) == ""


def test_a_stream_that_ends_well_just_ends(ssh):
    ssh("read p; read r; echo one; printf two")
    with PVE1.stream("follow", {}) as lines:
        assert [line for line in lines if line] == ["one"]


def test_a_stream_that_breaks_says_why(ssh):
    ssh("read p; read r; echo one; echo 'Connection to pve1 closed by remote host.' >&2; exit 255")
    with PVE1.stream("follow", {}) as lines:
        assert next(lines) == "one"
        with pytest.raises(NodeError, match=r"^pve1: Connection to pve1 closed by remote host\."):
            [line for line in lines if line]


def test_a_stream_to_nowhere_says_why_although_it_reads_nothing(ssh):
    ssh("echo 'ssh: Could not resolve hostname pve1' >&2; exit 255")
    with PVE1.stream("follow", {}) as lines, pytest.raises(NodeError, match="Could not resolve"):
        [line for line in lines if line]


def test_a_line_without_an_end_does_not_fill_the_memory(ssh):
    ssh("read p; read r; exec tr '\\0' x </dev/zero")
    with PVE1.stream("follow", {}) as lines, pytest.raises(NodeError, match="has no end"):
        next(line for line in lines if line)


def test_a_stream_that_nobody_reads_any_more_ends_its_ssh(ssh, tmp_path):
    ssh(f"read p; read r; echo $$ >{tmp_path}/pid; echo one; exec sleep 600")
    with PVE1.stream("follow", {}) as lines:
        next(lines)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_request_arrives_as_it_was_given(ssh):
    unpack = "import base64,json,sys,zlib;sys.stdin.readline();r=sys.stdin.readline();"
    unpack += "print(zlib.decompress(base64.b64decode(r)).decode(),flush=True)"
    ssh(f'exec python3 -c "{unpack}"')
    with PVE1.stream("follow", {"only": [910], "after": None}) as lines:
        assert json.loads(next(line for line in lines if line)) == {"only": [910], "after": None}


@pytest.mark.parametrize("login", ["-oProxyCommand=x", "root@-x", "root@pve1:22", "a b", "x@y@z"])
def test_what_is_no_name_for_ssh_is_refused(ssh, login):
    with pytest.raises(NodeError, match="no node's name"):
        nodes([login])


def test_the_nodes_are_those_that_are_named(ssh, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", "root@pve9")
    assert nodes(["pve1", "admin@pve2", "root@fd00::7"]).nodes == (
        Node("pve1", "root@pve1"),
        Node("pve2", "admin@pve2"),
        Node("fd00::7", "root@fd00::7"),
    )


def test_else_they_are_those_of_the_variable_each_once(ssh, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", " root@pve1,, pve2 ,root@pve1")
    assert [node.login for node in nodes().nodes] == ["root@pve1", "root@pve2"]


@pytest.fixture
def pve(tmp_path, monkeypatch):
    """A node's /etc/pve, its cluster: pve1 and pve2, of which pve3 is offline."""
    pve = tmp_path / "root/etc/pve"
    (pve / "nodes/pve2").mkdir(parents=True)
    listed = {
        f"pve{number}": {"id": number, "online": int(number < 3), "ip": f"192.0.2.1{number}"}
        for number in (1, 2, 3)
    }
    (pve / ".members").write_text(json.dumps({"nodename": "pve1", "nodelist": listed}))
    (pve / "nodes/pve2/ssh_known_hosts").write_text(f"pve2 {KEY}")
    monkeypatch.setenv("PHOENIX_ROOT", f"{tmp_path}/root")
    monkeypatch.setenv("PHOENIX_CLUSTER", "admin@gate")
    return pve


KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDZ"


def test_else_they_are_the_members_of_the_cluster_but_those_that_are_offline(ssh, pve):
    found = nodes()
    assert [(node.name, node.login) for node in found.nodes] == [
        # as the operator wrote it
        ("pve1", "admin@gate"),
        ("pve2", "admin@192.0.2.12"),
    ]
    assert found.offline == ("pve3",)


def test_the_host_keys_of_the_others_are_those_that_the_cluster_keeps(ssh, pve):
    one, other = nodes().nodes
    assert one.options == ()
    file = next(word for word in other.options if word.startswith("UserKnownHostsFile="))
    known = Path(file.partition("=")[2].strip('"'))
    assert known.read_text() == f"pve2,192.0.2.12 {KEY}\n"
    other.ask({"watch": {}})
    assert {"HostKeyAlias=pve2", "GlobalKnownHostsFile=none"} <= {*ssh.words()}


def test_the_real_ssh_takes_the_file_of_keys(ssh, pve):
    other = nodes().nodes[1]
    command = other._command("observe")
    command[0:2] = ["/usr/bin/ssh", "-G", "-F", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hostkeyalias pve2\n" in done.stdout


def test_a_cluster_that_is_not_understood_is_told_with_the_node_that_was_asked(ssh, pve):
    (pve / ".members").write_text("\x1b[2J")
    with pytest.raises(
        NodeError, match=r"^gate: its /etc/pve/.members is not understood: "
    ) as caught:
        nodes()
    assert "\x1b" not in str(caught.value)


def test_nodes_and_a_cluster_at_once_are_refused(ssh, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", "pve1")
    monkeypatch.setenv("PHOENIX_CLUSTER", "pve1")
    with pytest.raises(NodeError, match="both set: unset one"):
        nodes()
    assert nodes(["pve9"]).nodes == (Node("pve9", "root@pve9"),)


def test_this_machine_may_be_named_among_them(ssh, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", "@local,root@pve9")
    assert [one.login for one in nodes().nodes] == ["", "root@pve9"]
    monkeypatch.delenv("PHOENIX_NODES")
    monkeypatch.setenv("PHOENIX_CLUSTER", "@local")
    with pytest.raises(NodeError, match="no node's name"):
        nodes()


def test_else_it_is_this_machine_where_it_has_pct(ssh, tmp_path):
    pct = tmp_path / "bin" / "pct"
    pct.write_text("#!/bin/sh\n")
    pct.chmod(0o755)
    (node,) = nodes().nodes
    assert node.login == ""


def test_else_it_is_the_lab_with_the_host_key_that_it_has(ssh, monkeypatch, tmp_path):
    target = SshTarget("127.0.0.1", 40191, "root", tmp_path / "key")
    monkeypatch.setattr("lab.instance.ssh_targets", lambda checkout: {"pve-lab": target})
    (node,) = nodes().nodes
    node.ask({"watch": {}})
    words = ssh.words()
    assert words[words.index("-p") + 1] == "40191"
    assert f"UserKnownHostsFile={tmp_path}/known_hosts" in words
    assert "StrictHostKeyChecking=no" not in words


def test_else_it_is_said_what_to_do(ssh):
    with pytest.raises(NodeError, match=r"^no node: give --node root@pve1, or set PHOENIX_NODES="):
        nodes()
