"""Each folder here is an operation, each file in it a case for CT 910 of node pve1.

conf: |                 the container's conf
  features: nesting=1
observed:               how it differs from a stopped container that nobody manages, or
node:                   instead of both: the lines that the node prints about its containers
kwargs:
  features: keyctl=1
writes: |               the conf that is written, or
  features: nesting=1,keyctl=1
noop: text              why nothing is done, or
refused: text           why it is refused, or
commands: [...]         any other commands
"""

import hashlib
import shlex
from base64 import b64decode
from pathlib import Path

import pyinfra_testing.operations
import pytest
from pyinfra_testing.operations import make_operation_tests, parse_commands

from operations import pct
from phoenix.observed import parse_containers

STOPPED = {"ctid": 910, "running": False, "pid": None, "label": None, "ha": None, "node": "pve1"}
UNIT = (
    "systemd-run --wait --pipe --collect --quiet --unit=phoenix-harden-restart-910 "
    "'--description=phoenix-harden: restart CT 910'"
)


def translate(case):
    """A case as pyinfra-testing reads it."""
    kwargs = {"ctid": 910, **case["kwargs"]}
    if "conf" in case:
        kwargs["observed"] = {**STOPPED, **case.get("observed", {}), "conf": {"text": case["conf"]}}
    commands = []
    if "refused" in case:
        commands = ["never reached"]
    if "fails" in case:
        commands = [f"printf '%s\\n' {shlex.quote(case['fails'])} >&2; exit 2"]
    if "restarts" in case:
        commands = [{"command": f"{UNIT} sh -s 910 {case['restarts']}", "_stdin": "RESTART.SH"}]
    if "writes" in case:
        line = f"write-conf 910 {sha256(case['conf'])} {sha256(case['writes'])}"
        commands = [{"command": f"sh -c WRITE-CONF.SH {line}", "_stdin": case["writes"]}]
    return {
        "kwargs": kwargs,
        "facts": {"pct.Containers": parse_containers(case.get("node", []))},
        "commands": commands,
        "noop_description": case.get("noop"),
        "exception": {"name": "OperationValueError", "message": case.get("refused")},
    }


def sha256(text):
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def readable(commands):
    """Commands with the names of our scripts for their text, and confs for their base64."""
    found = parse_commands(commands)
    for command in found:
        if isinstance(command, str):
            continue
        command.pop("_timeout", None)
        text = command["command"].replace(shlex.quote(pct.WRITE_CONF), "WRITE-CONF.SH")
        if "WRITE-CONF.SH" in text:
            command["_stdin"] = b64decode(command["_stdin"]).decode("utf-8", "surrogateescape")
        elif command["_stdin"] == pct.RESTART:
            command["_stdin"] = "RESTART.SH"
        command["command"] = text
    return found


@pytest.fixture(autouse=True)
def _readable(monkeypatch):
    monkeypatch.setattr(pyinfra_testing.operations, "parse_commands", readable)


def cases(folder):
    tests = make_operation_tests("operations", folder.name, folder)
    run = tests._test
    tests._test = lambda self, name, case: run(self, name, translate(case))
    return tests


for found in sorted(Path(__file__).parent.glob("*.*/")):
    globals()[f"Test{found.name}"] = cases(found)
