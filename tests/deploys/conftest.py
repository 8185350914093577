"""pyinfra itself against nodes with scripted answers."""

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
#: Seconds that no run takes, however loaded the machine is.
LIMIT = 600


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


@pytest.fixture(scope="session")
def prepared():
    """A process that has imported pyinfra; `prepared.py` says how it is asked to run it."""
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("prepared.py")],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def pyinfra(tmp_path, prepared):
    """Run a deploy on fake nodes with a fleet: `pyinfra("harden", node, fleet={...}, only=910)`."""

    def run(deploy, *nodes, fleet, flags=("-y",), **data):
        inventory = tmp_path / "inventory.py"
        inventory.write_text(f"nodes = {[node.host() for node in nodes]!r}\n")
        if isinstance(fleet, dict):
            text = json.dumps({"lxc_configs": fleet})
            fleet = tmp_path / "fleet.json"
            fleet.write_text(text)
        given = [f"--data={key}={value}" for key, value in {"fleet": fleet, **data}.items()]
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        run = {
            "argv": ["pyinfra", "-vv", *flags, str(inventory), f"deploys/{deploy}.py", *given],
            "cwd": str(REPO),
            "env": {**os.environ, "PYINFRA_PROGRESS": "off", "NO_COLOR": "1"},
            "stdout": str(out),
            "stderr": str(err),
        }
        print(json.dumps(run), file=prepared.stdin, flush=True)
        assert select.select([prepared.stdout], [], [], LIMIT)[0], "pyinfra does not end"
        code = int(prepared.stdout.readline())
        stdout, stderr = out.read_text(), err.read_text()
        assert "Traceback" not in stderr, stderr
        return Result(code, stdout, stderr)

    return run
