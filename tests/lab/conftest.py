"""The running lab for tests: ``lab`` as it is, ``clean_lab`` put back into its clean state.

``make test-long`` runs every test on both stacks, ``make test`` on one of them those that are not
``long``. A stack is a marker: ``-m current``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.recipe import STACKS, VARIABLE
from lab.ssh import SshTarget
from lab.vm import Lab

CHECKOUT = Path(__file__).resolve().parent.parent.parent
#: The files that ``make test`` runs on the current stack: about half of the time that all take.
ON_CURRENT = {
    *("test_lab_create", "test_lab_docker", "test_lab_health_check", "test_lab_install"),
    *("test_lab_profiles", "test_lab_rollback"),
}

#: Those that it runs on either: each has its own part there.
ON_BOTH = {"test_lab_workloads"}


@dataclass(frozen=True)
class Node:
    """The lab's node, as a test sees it."""

    target: SshTarget

    @property
    def host(self) -> str:
        return self.target.host

    @property
    def port(self) -> int:
        return self.target.port

    @property
    def key(self) -> Path:
        return self.target.key

    def ssh(
        self,
        cmd: str,
        check: bool = True,
        input: str | bytes | None = None,
        timeout: float | None = 900,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the node."""
        return self.target.run(cmd, check=check, stdin=input, timeout=timeout)

    def reset(self) -> None:
        """Put the node back into the state ``clean``."""
        Lab(CHECKOUT).reset()

    def label(self, ctid: int) -> str:
        """AppArmor label of the container's PID 1, as the node sees it."""
        return self.ssh(f"cat /proc/$(lxc-info -n {ctid} -pH)/attr/current").stdout.strip()


def pytest_generate_tests(metafunc):
    """Give each test that uses the lab one for either stack."""
    if "lab" not in metafunc.fixturenames:
        return
    name = metafunc.module.__name__
    first = "current" if name in ON_CURRENT else "stable"
    marks = {stack: [getattr(pytest.mark, stack)] for stack in STACKS}
    for stack in marks.keys() - {first} if name not in ON_BOTH else ():
        marks[stack].append(pytest.mark.long)
    stacks = [pytest.param(stack, marks=marks[stack]) for stack in marks]
    metafunc.parametrize("lab", stacks, indirect=True, scope="session")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Node]:
    """The checkout's lab of a stack, started if need be, in whatever state it is."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, request.param)  # for inventory.py, too
        yield Node(Lab(CHECKOUT).up())


@pytest.fixture
def clean_lab(lab: Node) -> Node:
    """The lab, put back into the state ``clean``."""
    return Node(Lab(CHECKOUT).reset())
