"""Commands of the node's program as node_command.py writes them, with their request as JSON."""

import json

import pyinfra_testing.operations
import pytest
from node_command import readable
from pyinfra_testing.operations import parse_commands

import facts.program
import node.pack


@pytest.fixture(autouse=True)
def _readable(monkeypatch):
    """Requests as they are, for all tests of operations; commands in cases of pyinfra-testing."""
    for module in (node.pack, facts.program):
        monkeypatch.setattr(module, "stdin", lambda request=None: json.dumps(request))

    def parse(commands):
        found = parse_commands(commands)
        for command in found:
            if not isinstance(command, str):
                command.pop("_timeout", None)
                command["command"] = readable(command["command"])
        return found

    monkeypatch.setattr(pyinfra_testing.operations, "parse_commands", parse)
