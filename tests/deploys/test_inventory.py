"""inventory.py: which nodes, and what it says without any."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

REPO = Path(__file__).parents[2]


@pytest.fixture
def pyinfra(tmp_path):
    """Run pyinfra on a copy of the inventory: the checkout's own lab is not seen there."""
    shutil.copy(REPO / "inventory.py", tmp_path)

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "pyinfra", str(tmp_path / "inventory.py"), *arguments],
            cwd=REPO,
            env={**os.environ, "PATH": "/usr/bin:/bin", "PYINFRA_PROGRESS": "off", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_without_any_node_one_line_says_what_to_do(pyinfra):
    done = pyinfra("deploys/audit.py")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("no node: set PHOENIX_NODES=root@pve1,root@pve2")
    assert "phoenix lab up" in last


def test_nodes_are_written_as_for_ssh(pyinfra):
    done = pyinfra("--json", "debug-inventory", PHOENIX_NODES="root@pve1, admin@pve2,pve3")
    assert done.returncode == 0, done.stderr
    users = {host["name"]: host["data"]["ssh_user"] for host in json.loads(done.stdout)}
    assert users == {"pve1": "root", "pve2": "admin", "pve3": "root"}


def test_this_machine_may_be_named_among_them(pyinfra):
    done = pyinfra("--json", "debug-inventory", PHOENIX_NODES="root@pve1,@local")
    assert done.returncode == 0, done.stderr
    assert {host["name"] for host in json.loads(done.stdout)} == {"pve1", "@local"}


def test_a_node_that_is_out_of_reach_ends_the_run_without_a_traceback(pyinfra):
    done = pyinfra("-y", "deploys/harden.py", PHOENIX_NODES="root@node.invalid")
    assert done.returncode == 1
    assert "node.invalid" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Starting operation" not in done.stderr


@pytest.fixture
def cluster(tmp_path):
    """The environment of an operator whose ssh reaches pve1 of a cluster, and no other node."""
    pve = tmp_path / "root/etc/pve/nodes/pve2"
    pve.mkdir(parents=True)
    (pve / "ssh_known_hosts").write_text("pve2 ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDZ")
    listed = {
        f"pve{number}": {"id": number, "online": int(number < 3), "ip": f"192.0.2.1{number}"}
        for number in (1, 2, 3)
    }
    members = json.dumps({"nodename": "pve1", "nodelist": listed})
    (tmp_path / "root/etc/pve/.members").write_text(members)
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    return {
        "PHOENIX_CLUSTER": "root@pve1",
        "PHOENIX_ROOT": f"{tmp_path}/root",
        "PATH": f"{ssh.parent}:/usr/bin:/bin",
    }


def test_a_cluster_is_asked_for_its_members_their_addresses_and_host_keys(pyinfra, cluster):
    done = pyinfra("--json", "debug-inventory", **cluster)
    assert done.returncode == 0, done.stderr
    data = {host["name"]: host["data"] for host in json.loads(done.stdout)}
    assert {name: one["ssh_hostname"] for name, one in data.items()} == {
        "pve1": "pve1",
        "pve2": "192.0.2.12",
    }
    # what was asked first is known to the operator; the others' keys are the cluster's
    assert ["ssh_known_hosts_file" in data[name] for name in ("pve1", "pve2")] == [False, True]
    assert {one["ssh_strict_host_key_checking"] for one in data.values()} == {"yes"}
    assert [one["phoenix_offline"] for one in data.values()] == [["pve3"], ["pve3"]]


def test_a_cluster_that_does_not_answer_ends_the_run_with_what_to_do(pyinfra, cluster):
    cluster["PATH"] = "/usr/bin:/bin"
    done = pyinfra(
        "--json", "debug-inventory", **{**cluster, "PHOENIX_CLUSTER": "root@node.invalid"}
    )
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if "PHOENIX_CLUSTER" in one]
    assert line.startswith("PHOENIX_CLUSTER=root@node.invalid: node.invalid: ssh: ")
    assert "Traceback" not in done.stderr


class Impostor(paramiko.ServerInterface):
    """Whoever answers first on the node's address: takes any key, and notes that one came."""

    def __init__(self):
        self.logins = 0

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        self.logins += 1
        return paramiko.AUTH_FAILED


@contextmanager
def impostor(key=None):
    """An SSH server with a host key that nobody knows, or this one; gives its port and itself."""
    server, key = Impostor(), key or paramiko.RSAKey.generate(2048)

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            try:
                transport.start_server(server=server)
            except (paramiko.SSHException, EOFError, OSError):
                continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], server
        listener.shutdown(socket.SHUT_RDWR)


def test_a_node_whose_host_key_is_not_known_is_not_trusted_and_the_next_step_is_said(
    pyinfra, tmp_path
):
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    paramiko.RSAKey.generate(2048).write_private_key_file(str(ssh / "id_rsa"))
    with impostor() as (port, server):
        # what ssh itself would refuse, too
        strict = f"Host pve1\n  HostName 127.0.0.1\n  Port {port}\n  StrictHostKeyChecking yes\n"
        (ssh / "config").write_text(strict)
        done = pyinfra(
            "-y", "deploys/harden.py", PHOENIX_NODES="root@pve1", HOME=str(tmp_path),
            SSH_AUTH_SOCK="",
        )  # fmt: skip
    assert done.returncode == 1
    assert "No host key for" in done.stderr
    assert "log in once by hand" in done.stderr
    assert "ssh root@pve1" in done.stderr
    assert "Traceback" not in done.stderr
    assert server.logins == 0
    assert not (ssh / "known_hosts").exists()


def test_a_member_on_another_port_of_ssh_config_is_known_by_the_key_of_its_cluster(
    pyinfra, cluster, tmp_path
):
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    paramiko.RSAKey.generate(2048).write_private_key_file(str(ssh / "id_rsa"))
    key = paramiko.RSAKey.generate(2048)
    keys = tmp_path / "root/etc/pve/nodes/pve2/ssh_known_hosts"
    keys.write_text(f"pve2 ssh-rsa {key.get_base64()}")
    with impostor(key) as (port, server):
        reaches = f"Host 192.0.2.12\n  HostName 127.0.0.1\n  Port {port}\n"
        (ssh / "config").write_text(f"{reaches}Host pve1\n  HostName node.invalid\n")
        done = pyinfra("-y", "deploys/audit.py", HOME=str(tmp_path), SSH_AUTH_SOCK="", **cluster)
    assert "Authentication failed" in done.stderr
    assert "No host key for" not in done.stderr
    assert server.logins == 1


def test_real_nodes_are_strict_about_host_keys(pyinfra):
    done = pyinfra("--json", "debug-inventory", PHOENIX_NODES="root@pve1")
    (host,) = json.loads(done.stdout)
    assert host["data"]["ssh_strict_host_key_checking"] == "yes"
