"""pyinfra itself against nodes with scripted answers."""

import json
import os
import select
import signal
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


class Prepared:
    """A process that has imported pyinfra and runs it; `prepared.py` says how it is asked to."""

    def __init__(self):
        self._process = None

    def run(self, **run) -> int:
        """The exit code of a run; one that does not end is ended, with the process."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("prepared.py")],
                cwd=REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        print(json.dumps(run), file=self._process.stdin, flush=True)
        ended, _, _ = select.select([self._process.stdout], [], [], LIMIT)
        code = self._process.stdout.readline() if ended else ""
        if not code:
            self.end()
            pytest.fail("pyinfra does not end" if ended == [] else "prepared.py has ended")
        return int(code)

    def end(self):
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="session")
def prepared():
    process = Prepared()
    yield process
    process.end()


@pytest.fixture
def pyinfra(tmp_path, prepared):
    """Run a deploy on fake nodes with a fleet: `pyinfra("harden", node, fleet={...}, only=910)`."""

    def run(deploy, *nodes, fleet=None, flags=("-y",), verbose=("-vv",), **data):
        inventory = tmp_path / "inventory.py"
        path = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nimport fakes\n"
        inventory.write_text(f"{path}nodes = {[node.host() for node in nodes]!r}\n")
        if isinstance(fleet, dict):
            text = json.dumps({"lxc_configs": fleet})
            fleet = tmp_path / "fleet.json"
            fleet.write_text(text)
        if deploy not in ("rollback", "denials") and (fleet or deploy != "doctor"):
            data = {"fleet": fleet, **data}
        given = [f"--data={key}={value}" for key, value in data.items()]
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        code = prepared.run(
            argv=["pyinfra", *verbose, *flags, str(inventory), f"deploys/{deploy}.py", *given],
            cwd=str(REPO),
            env={**os.environ, "PYINFRA_PROGRESS": "off", "NO_COLOR": "1"},
            stdout=str(out),
            stderr=str(err),
        )
        stdout, stderr = out.read_text(), err.read_text()
        assert "Traceback" not in stderr, stderr
        return Result(code, stdout, stderr)

    return run
