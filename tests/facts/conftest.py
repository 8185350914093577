"""A fake node of which facts are asked in the way in which they reach a real one."""

import ast
import base64
import shlex
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand

from facts.observe import Observe
from facts.program import Asked
from node.pack import BOOT
from tests.unit.script_node import ALONE, FORKS, ScriptNode, boot, laid


class FactNode(ScriptNode):
    def see(self, fact, *arguments, timeout=60, **variables):
        """What the fact becomes here; `variables`: more of the node's environment."""
        shell, sent = _sent(fact, arguments)
        if not sent:
            shell, _, here = shell.partition("<<'PHOENIX'\n")
            sent = here.removesuffix("PHOENIX")
        packed, _, request = sent.partition("\n")
        *python, program, verb, sections = shlex.split(shell.partition("; };")[2])
        assert (python, program) == (["python3", "-I", "-c"], BOOT)
        # no more than what was sent for this fact, as `test_sent_program.py` has it sent
        done = FORKS.run(
            f"{ALONE}{boot(_folder(packed))}",
            verb,
            sections,
            input=f"\n{request}",
            env={**self.environment, "PATH": self._path, **variables},
            timeout=timeout,
        )
        return _process(fact, done)

    def see_as_sent(self, fact, *arguments):
        """The same, by a shell and packed, which takes five times as long."""
        shell, sent = _sent(fact, arguments)
        done = subprocess.run(
            ["/bin/sh", "-c", shell],
            input=sent,
            env={**self.environment, "PATH": self._path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return _process(fact, done)

    @property
    def _path(self):
        """This Python before any wrapper of another one, which would take longer than it does."""
        return f"{Path(sys.executable).parent}:{self.environment['PATH']}"


def _sent(fact, arguments):
    """The command of a fact, and what it reads."""
    arguments = [Asked(one) for one in arguments] if fact is Observe else arguments
    sent = "".join(arguments[0].readlines()) if fact is Observe else ""
    return StringCommand(fact().command(*arguments)).get_raw_value(), sent


@cache
def _folder(packed):
    """A folder with the files with which `node.sent.arrive` is called."""
    sent = zlib.decompress(base64.b64decode(packed)).decode()
    return laid(ast.literal_eval(sent.rpartition("\narrive(")[2].removesuffix(")\n")))


def _process(fact, done):
    assert (done.returncode, done.stderr) == (0, "")
    # as pyinfra reads it: lines, ends stripped
    return fact().process([line.strip() for line in done.stdout.splitlines()])


@pytest.fixture
def node(tmp_path):
    return FactNode(tmp_path)
