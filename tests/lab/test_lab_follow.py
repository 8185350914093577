"""`phoenix denials` against a real node: as it happens, over a broken line, and all at once."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from on_node import REPO, pyinfra

pytestmark = pytest.mark.lab

CTID = 952
ENTRY = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}
#: Denied by its name wherever it is; the real one is the node's, which no guest's root may read.
DENIED = "/srv/proc/lab/kcore"
#: Seconds that starting a program in a guest may take where the machine is emulated and busy.
PATIENCE = 300

#: Whoever runs us in the background may have SIGINT ignored, and children inherit that.
INTERRUPTIBLE = ("env", "--default-signal=INT")
DENIALS = (*INTERRUPTIBLE, sys.executable, "-m", "phoenix.cli.main", "denials")


class Following:
    """`phoenix denials --follow` as a process; its lines as they come."""

    def __init__(self, *argv):
        command = [*DENIALS, "--follow", *argv]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=REPO, text=True, **pipes)
        self.lines, self.says = queue.Queue(), queue.Queue()
        for stream, kept in ((self.process.stdout, self.lines), (self.process.stderr, self.says)):
            threading.Thread(target=self._keep, args=(stream, kept), daemon=True).start()

    @staticmethod
    def _keep(stream, kept):
        for line in stream:
            kept.put((time.monotonic(), line.rstrip("\n")))

    def __enter__(self):
        assert "follows audit.log" in self.aside()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def aside(self):
        return self.says.get(timeout=PATIENCE)[1]

    def line(self, part):
        """The next line that has `part`, and when it came."""
        while True:
            when, line = self.lines.get(timeout=PATIENCE)
            if part in line:
                return when, line


@pytest.fixture(scope="module")
def node(lab, tmp_path_factory):
    """CT 952 under its profile."""
    lab.reset()
    fleet = tmp_path_factory.mktemp("fleet") / "fleet.json"
    fleet.write_text(json.dumps({"lxc_configs": {str(CTID): ENTRY}}))
    done = pyinfra("harden", "-y", fleet=fleet)
    assert done.returncode == 0, done.stderr
    file = f"/proc/$(lxc-info -n {CTID} -pH)/root{DENIED}"
    lab.ssh(f"mkdir -p $(dirname {file}) && touch {file}")
    return lab


@pytest.fixture
def following(node):
    with Following(str(CTID)) as process:
        yield process


def tries(node, program):
    """Have a program of the guest try to read what the profile denies."""
    node.ssh(f"lxc-attach -n {CTID} -- {program} {DENIED} </dev/null", check=False)


def test_a_denial_is_told_within_two_seconds_with_what_to_do(node, following):
    tries(node, "cat")
    # it happened before the command had ended
    ended = time.monotonic()
    when, line = following.line(DENIED)
    assert when - ended < 2
    assert f"pve-lab: CT {CTID} " in line
    assert f"denied: read {DENIED} by cat under lxc-docker-nested: " in line
    assert "the profile denies this on purpose" in line


def test_the_docker_container_in_it_is_named(node, following):
    # the shell itself is refused, and lives on so that its container can be seen
    script = f"true </host{DENIED}; sleep 30"
    docker = "docker run -d --rm --pull never --name probed -v /srv:/host/srv hello:lab"
    node.ssh(f"lxc-attach -n {CTID} -- {docker} sh -c '{script}' </dev/null")
    _, line = following.line(DENIED)
    assert re.search(r" by sh in container (probed|[0-9a-f]{12}) under lxc-docker-nested", line)


def test_after_a_broken_line_it_goes_on_and_tells_nothing_twice(node, following):
    tries(node, "cat")
    following.line(f"{DENIED} by cat")
    node.ssh("kill $(pgrep -f 'python3 -I -c.* follow$')")
    assert "trying again until it answers" in following.aside()
    tries(node, "head -c1")
    _, line = following.line(": denied")
    assert f"{DENIED} by head" in line
    assert "connected again after" in following.aside()


def test_ctrl_c_ends_with_a_summary(node, following):
    tries(node, "cat")
    following.line(f"{DENIED} by cat")
    following.process.send_signal(signal.SIGINT)
    assert following.process.wait(PATIENCE) == 130
    following.line("pve-lab: denied since ")
    _, line = following.line(f"x read {DENIED} by cat under lxc-docker-nested, last ")
    assert line.startswith(f"  CT {CTID} ")


def test_the_summary_is_the_same_by_the_command_and_by_the_recipe(node):
    tries(node, "cat")
    command = [*DENIALS, str(CTID), "--since", "1h"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if f"read {DENIED} by cat" in line]
    told = pyinfra("denials", "-y", only=CTID, since="1h")
    assert told.returncode == 0, told.stderr
    assert line in told.stderr
