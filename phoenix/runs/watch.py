"""What a node has of the watch, a timer that warns of containers without their wanted label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCRIPT = "/usr/local/lib/phoenix-harden/watch"
SERVICE = "/etc/systemd/system/phoenix-harden-watch.service"
TIMER = "/etc/systemd/system/phoenix-harden-watch.timer"
WANTED = "/var/lib/phoenix-harden/wanted"


@dataclass(frozen=True)
class ObservedWatch:
    """What a node has of the watch: the text of its files, and whether the timer is on."""

    files: Mapping[str, str] = field(default_factory=dict)
    timer: bool = False

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {"files": dict(self.files), "timer": self.timer}


def watch_from_json(data: Mapping[str, Any]) -> ObservedWatch:
    """Read the section `watch` of the node's answer (`node.watch_files`).

    >>> watch_from_json({"files": {"/a": "b\\n"}, "timer": True})
    ObservedWatch(files={'/a': 'b\\n'}, timer=True)
    """
    return ObservedWatch(data["files"], data["timer"])
