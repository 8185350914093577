"""The connection that all commands to the lab's node share."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.ssh import SOCKET, SshTarget


@pytest.fixture
def target(tmp_path):
    """A target whose ssh is a script: it notes its calls, and its control socket is a file."""
    script = tmp_path / "ssh"
    script.write_text(
        f"""#!/bin/sh
        cd {tmp_path} || exit
        case " $* " in
        *' -O check '*) echo check; [ -e {SOCKET} ] ;;
        *' -O exit '*) echo exit; [ -e {SOCKET} ] ;;
        *' -M '*) echo master; sleep 0.2; touch {SOCKET} ;;
        *' ControlPath='*) echo shared ;;
        *) echo login ;;
        esac >>calls
        """
    )
    script.chmod(0o755)

    class Noted(SshTarget):
        def command(self, remote, *more):
            return [str(script), *super().command(remote, *more)[1:]]

    return Noted("127.0.0.1", 22, "root", tmp_path / "key")


def calls(target):
    path = target.key.with_name("calls")
    return [line for line in path.read_text().split() if line != "check"]


def test_it_is_made_once_and_used_by_every_command(target):
    target.run("true")
    target.run("true")
    assert calls(target) == ["master", "shared", "shared"]


def test_commands_that_come_at_once_share_one(target):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(target.run, ["true"] * 4))
    assert calls(target) == ["master", *["shared"] * 4]


def test_after_hanging_up_the_next_command_makes_another_one(target):
    target.run("true")
    target.hang_up()
    assert not target.key.with_name(SOCKET).exists()
    target.run("true")
    assert calls(target) == ["master", "shared", "exit", "master", "shared"]


def test_who_asks_for_a_login_gets_one(target):
    target.run("true", login=True)
    assert calls(target) == ["login"]


def test_they_share_one_under_gevent_too(target):
    """Its threads are no threads: who waits for a lock in the kernel stops them all."""
    code = f"""
from gevent import monkey
monkey.patch_all()
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from lab.ssh import SshTarget
class Noted(SshTarget):
    def command(self, remote, *more):
        return [{str(target.key.with_name("ssh"))!r}, *super().command(remote, *more)[1:]]
target = Noted("127.0.0.1", 22, "root", Path({str(target.key)!r}))
with ThreadPoolExecutor(4) as pool:
    list(pool.map(target.run, ["true"] * 4))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert calls(target) == ["master", *["shared"] * 4]
