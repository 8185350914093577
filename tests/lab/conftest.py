"""The running lab for tests: ``lab`` as it is, ``clean_lab`` put back into its clean state."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.ssh import SshTarget
from lab.vm import Lab

CHECKOUT = Path(__file__).resolve().parent.parent.parent


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
        timeout: float | None = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the node."""
        return self.target.run(cmd, check=check, stdin=input, timeout=timeout)

    def reset(self) -> None:
        """Put the node back into the state ``clean``."""
        Lab(CHECKOUT).reset()

    def label(self, ctid: int) -> str:
        """AppArmor label of the container's PID 1, as the node sees it."""
        return self.ssh(f"cat /proc/$(lxc-info -n {ctid} -pH)/attr/current").stdout.strip()


@pytest.fixture(scope="session")
def lab() -> Node:
    """The checkout's lab, started if need be, in whatever state it is."""
    return Node(Lab(CHECKOUT).up())


@pytest.fixture
def clean_lab(lab: Node) -> Node:
    """The lab, put back into the state ``clean``."""
    return Node(Lab(CHECKOUT).reset())
