"""What worked in a guest when a run proved it, and has failed since."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Where a guest says why, by kind.
_LOOK = {"container": "docker logs {}", "podman": "podman logs {}", "unit": "journalctl -u {}"}


@dataclass(frozen=True)
class Thing:
    """A `container` of Docker or podman, or a `unit` of systemd, and what it is now, in words."""

    kind: str
    name: str
    now: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.now}"

    @property
    def next_step(self) -> str:
        """The command that shows why, in the guest."""
        # node.works names those of podman so
        of_podman = self.kind == "container" and self.name.startswith("podman:")
        look = _LOOK.get("podman" if of_podman else self.kind, "look at {}")
        return look.format(shlex.quote(self.name.removeprefix("podman:")))


@dataclass(frozen=True)
class Fallen:
    """What has failed in one guest since a run; `more`: how many further things.

    `why`: in words why the guest cannot tell, or not all of it.
    """

    run: str
    things: tuple[Thing, ...] = ()
    more: int = 0
    why: str = ""


def fallen_from_json(data: Any) -> Mapping[int, Fallen]:
    """By CTID, from the section `fallen` of a node's answer.

    Raises ValueError, KeyError or TypeError for what no node of ours says.
    """
    return {
        int(ctid): Fallen(
            one["run"], tuple(Thing(*thing) for thing in one["fallen"]), one["more"], one["why"]
        )
        for ctid, one in data.items()
    }
