"""A fake node of which facts are asked in the way in which they reach a real one."""

import subprocess
import sys
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand

from facts.observe import Observe
from facts.program import Asked
from tests.unit.script_node import ScriptNode


class FactNode(ScriptNode):
    def see(self, fact, *arguments, timeout=60, **variables):
        """What the fact becomes here; `variables`: more of the node's environment."""
        arguments = [Asked(one) for one in arguments] if fact is Observe else arguments
        done = subprocess.run(
            ["/bin/sh", "-c", StringCommand(fact().command(*arguments)).get_raw_value()],
            input="".join(arguments[0].readlines()) if fact is Observe else "",
            env={**self.environment, "PATH": self._path, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert (done.returncode, done.stderr) == (0, "")
        # as pyinfra reads it: lines, ends stripped
        return fact().process([line.strip() for line in done.stdout.splitlines()])

    @property
    def _path(self):
        """This Python before any wrapper of another one, which would take longer than it does."""
        return f"{Path(sys.executable).parent}:{self.environment['PATH']}"


@pytest.fixture
def node(tmp_path):
    return FactNode(tmp_path)
