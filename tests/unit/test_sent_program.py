"""The node's program as it is sent, packed and in a Python of its own.

`ScriptNode.verb` starts it unpacked, in a fork of a Python that has imported much already.
"""

import commit_node
import create_node
import install_guest
import pytest
from script_node import FORKS, ScriptNode

from node.main import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_finds_all_that_it_imports(tmp_path, verb):
    node = ScriptNode(tmp_path)
    sent, forked = node.verb_as_sent(verb), node.verb(verb)
    assert "ImportError" not in sent.stderr
    assert "ModuleNotFoundError" not in sent.stderr
    assert (sent.returncode, sent.stdout) == (forked.returncode, forked.stdout)
    assert bool(sent.stderr) == bool(forked.stderr)


def test_a_container_is_committed(tmp_path):
    node = commit_node.Node(tmp_path)
    node.verb = node.verb_as_sent
    done = node.commit()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.conf.read_text() == commit_node.NEW


def test_a_container_is_made(tmp_path):
    node = create_node.Node(tmp_path)
    node.verb = node.verb_as_sent
    done = node.create()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.conf.read_text() == create_node.FINAL


def test_docker_is_installed(tmp_path):
    guest = install_guest.InstallGuest(tmp_path)
    guest.verb = guest.verb_as_sent
    done = guest.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert "docker.io" in (guest.fake / "installed").read_text()


@pytest.mark.parametrize(
    ("program", "code", "stdout", "stderr"),
    [
        ("import sys; sys.exit(3)", 3, "", ""),
        ("import sys; sys.exit('no')", 1, "", "no\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "", ""),
        ("import sys; print(input(), sys.argv[1:], end='')", 0, "asked ['a']", ""),
        ("import atexit; atexit.register(print, 'end')", 0, "end\n", ""),
        ("import threading; threading.Timer(0.01, print, ['late']).start()", 0, "late\n", ""),
        ("import os; print(os.environ, sorted(os.listdir('/proc/self/fd'))[:4])", 0, None, ""),
    ],
)
def test_a_fork_starts_and_ends_as_a_process_does(program, code, stdout, stderr):
    done = FORKS.run(program, "a", env={}, input="asked\n")
    expected = "environ({}) ['0', '1', '2', '3']\n" if stdout is None else stdout
    assert (done.returncode, done.stdout, done.stderr) == (code, expected, stderr)
