"""pyinfra itself against nodes with scripted answers."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@dataclass
class Result:
    """What one run of pyinfra came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def commands(self) -> list[str]:
        """The names of the units that were asked to commit, in order."""
        return [
            line.split("--unit=")[1].split()[0].rpartition("-")[2]
            for line in self.stderr.splitlines()
            if ">>> " in line and "--unit=" in line
        ]


@pytest.fixture
def pyinfra(tmp_path):
    """Run a deploy on fake nodes with a fleet: `pyinfra("harden", node, fleet={...}, only=910)`."""

    def run(deploy, *nodes, fleet, flags=("-y",), **data):
        inventory = tmp_path / "inventory.py"
        inventory.write_text(f"nodes = {[node.host() for node in nodes]!r}\n")
        if isinstance(fleet, dict):
            text = json.dumps({"lxc_configs": fleet})
            fleet = tmp_path / "fleet.json"
            fleet.write_text(text)
        given = [f"--data={key}={value}" for key, value in {"fleet": fleet, **data}.items()]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pyinfra", "-vv"),
                *(*flags, str(inventory), f"deploys/{deploy}.py", *given),
            ],
            cwd=REPO,
            env={**os.environ, "PYINFRA_PROGRESS": "off", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    return run
