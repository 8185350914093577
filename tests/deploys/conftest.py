"""pyinfra itself against nodes with scripted answers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

REPO = Path(__file__).parents[2]

CONF = """\
features: nesting=1
hostname: {name}
unprivileged: 1
lxc.apparmor.profile: unconfined
"""

APPARMOR = ["enabled Y", "parser 4.1.0", "abi 4.0"]


@dataclass
class FakeNode:
    """A node that answers facts; commands that no answer is scripted for succeed silently."""

    name: str
    confs: Mapping[int, str]
    label: str = "unconfined"
    apparmor: list[str] = field(default_factory=lambda: list(APPARMOR))
    dockers: list[str] = field(default_factory=list)
    responses: dict[str, object] = field(default_factory=dict)

    def host(self) -> tuple[str, dict[str, object]]:
        """The node as an entry of an inventory."""
        facts = {
            "# Prints what this node knows": self._containers(),
            "# apparmor NAME...": self.apparmor,
            "# docker CTID...": self.dockers,
        }
        return f"@fake/{self.name}", {
            # the first match wins: a case may answer a fact differently
            "fake_responses": {**self.responses, **facts, **self.responses},
            "fake_delay": 0,
            "fake_delay_jitter": 0,
        }

    def _containers(self) -> list[str]:
        lines = [f"node {self.name}"]
        for ctid, conf in self.confs.items():
            lines.append(f"ct {ctid} running {ctid} 1795308303 {quote(self.label)} -")
            lines.append(f"conf {ctid} {quote(conf)}")
        return lines


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
