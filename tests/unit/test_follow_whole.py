"""`phoenix denials` with the node's own program behind it: from a node's log to the line."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_follow import Node

ROOT = Path(__file__).parents[2]

#: Whoever runs us in the background may have SIGINT ignored, and children inherit that.
INTERRUPTIBLE = ("env", "--default-signal=INT")


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    node.tool("ssh", 'for last; do :; done\nexec sh -c "$last"')
    node.runs(910, "lxc-a (enforce)")
    node.has("/etc/pve/lxc/910.conf", "hostname: portainer\n")
    return node


def start(node, *argv):
    command = [*INTERRUPTIBLE, sys.executable, "-m", "phoenix.cli.main", "denials", *argv]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**node.environment, "PHOENIX_NODES": "root@pve1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


def test_a_denial_is_followed_over_a_rotation(node):
    process = start(node, "--follow", "910")
    assert process.stderr.readline().endswith(": follows audit.log\n")
    node.denies("/srv/a")
    line = process.stdout.readline()
    assert re.search(r": CT 910 portainer: denied: \w+ /srv/a by \w+ under lxc-a: ", line)
    node.log.rename(node.log.with_name("audit.log.1"))
    node.log.touch()
    node.denies("/srv/b")
    assert "/srv/b" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert len(re.findall("  CT 910 portainer: 1x", out)) == 2


def test_what_came_while_the_line_was_broken_is_told_and_nothing_twice(node):
    # the first connection ends by itself, once a file is there
    node.tool(
        "ssh",
        'for last; do :; done\nexec 3<&0\ncase $last in *" follow") [ -e "$FAKE/first" ] || {\n'
        '>"$FAKE/first"; mkfifo "$FAKE/cut"; sh -c "exec $last" <&3 & read cut <"$FAKE/cut"; '
        'kill $!; exit 255; };; esac\nexec sh -c "$last"',
    )
    process = start(node, "--follow")
    process.stderr.readline()
    node.denies("/srv/a")
    assert "/srv/a" in process.stdout.readline()
    (node.fake / "cut").write_text("now\n")
    assert "trying again until it answers" in process.stderr.readline()
    node.denies("/srv/a")
    node.denies("/srv/b")
    assert "/srv/b" in process.stdout.readline()
    assert "it goes on where it was" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert re.search(r"  CT 910 portainer: 2x \w+ /srv/a ", out)
    assert re.search(r"  CT 910 portainer: 1x \w+ /srv/b ", out)


def test_the_summary_reads_the_same_log(node):
    node.denies("/srv/a")
    process = start(node, "910", "--since", "1h")
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "  CT 910 portainer: 1x" in out
