"""inventory.py: which nodes, and what it says without any."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def test_a_node_that_is_out_of_reach_ends_the_run_without_a_traceback(pyinfra):
    done = pyinfra("-y", "deploys/harden.py", PHOENIX_NODES="root@node.invalid")
    assert done.returncode == 1
    assert "node.invalid" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Starting operation" not in done.stderr
