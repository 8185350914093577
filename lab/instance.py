"""A checkout's own lab of one stack, below ``.lab/``: what it was made of and whether it runs.

Reading it is quick: no command runs and no connection is made.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.machine import HOST, Machine
from lab.recipe import STACKS, VARIABLE, Stack, chosen
from lab.ssh import SshTarget


@dataclass
class State:
    """What ``.lab/STACK/instance.json`` remembers."""

    recipe: str  # recipe.image_key() when the disk was made
    image: str  # cache.build_id() of the image that the disk lies over
    qemu: str  # saved states only load in the QEMU that saved them
    accel: str
    machine: str  # machine.fingerprint() of that boot
    port: int
    ready: bool = False  # loaded; false while that is still going on


#: What the nodes of a lab are called, the first and the second.
NODES = ("pve-lab", "pve-lab2")


class Instance:
    """A node of the lab of one checkout and stack; *number*: the first or the second."""

    def __init__(self, checkout: Path, stack: Stack, number: int = 1) -> None:
        folder = checkout.resolve() / ".lab"
        self.folder = folder / (stack.name if number == 1 else f"{stack.name}-{number}")
        #: There while the two nodes share their /etc/pve.
        self.joined = folder / f"{stack.name}-2" / "joined"
        #: Held by whoever starts, ends or changes it; outside of what `down --purge` removes.
        self.lock = self.folder.with_suffix(".lock")

    def read(self) -> State | None:
        """The remembered state; None when there is none or it is of no use."""
        try:
            return State(**json.loads((self.folder / "instance.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, state: State) -> None:
        """Remember the state, whole or not at all."""
        new = self.folder / "instance.json.new"
        new.write_text(json.dumps(asdict(state), indent=2) + "\n")
        new.replace(self.folder / "instance.json")

    def forget(self) -> None:
        """Remember nothing: the node's disk is about to be another one."""
        (self.folder / "instance.json").unlink(missing_ok=True)

    def running(self) -> bool:
        """True when this checkout's QEMU runs."""
        return Machine(self.folder, Path()).pid() is not None

    def target(self) -> SshTarget | None:
        """Where the node answers; None when it isn't up."""
        state = self.read()
        if state is None or not state.ready or not self.running():
            return None
        return SshTarget(HOST, state.port, "root", self.folder / "key")

    def status(self) -> dict[str, object]:
        """What ``phoenix lab status --json`` prints."""
        state, target = self.read(), self.target()
        ssh = None
        if target is not None:
            ssh = {
                "host": target.host,
                "port": target.port,
                "user": target.user,
                "key": str(target.key),
            }
        up = target is not None and state is not None
        return {"running": up, "accel": state.accel if up and state else None, "ssh": ssh}


def ssh_targets(checkout: Path) -> dict[str, SshTarget]:
    """Where the nodes of the checkout's lab answer on SSH, by name; empty when it isn't running.

    Of which stack says `recipe.VARIABLE`; otherwise the first that runs. Raises LabError when no
    stack has that name.
    """
    stacks = [chosen()] if os.environ.get(VARIABLE) else STACKS.values()
    for stack in stacks:
        if first := Instance(checkout, stack).target():
            found = {NODES[0]: first}
            second = Instance(checkout, stack, 2)
            if second.joined.exists() and (target := second.target()):
                found[NODES[1]] = target
            return found
    return {}
