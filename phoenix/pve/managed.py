"""What our own runs brought into a container's conf and its daemon.json, to take it back.

Only what a run *added* is ours: a value that was there before stays the operator's, even if a
run changed it. The node keeps the answer beside the runs, one small JSON file per container.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix.pve.raw_keys import RawKey


@dataclass(frozen=True)
class Managed:
    """What runs added.

    Features (name to value), raw lines, devices (values of `devN`), and `daemon`: managed keys
    of the guest's daemon.json (`phoenix.docker.daemon_json`). `profile`: the host half of the
    label under which the last run proved it, "" for none.
    """

    features: Mapping[str, str] = field(default_factory=dict)
    raw: tuple[RawKey, ...] = ()
    devices: tuple[str, ...] = ()
    daemon: Mapping[str, str | bool] = field(default_factory=dict)
    profile: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Managed:
        """Read the file; without one, or with one that nobody can read, nothing is ours."""
        try:
            data = json.loads(text or "{}")
            features = {str(name): str(value) for name, value in data["features"].items()}
            raw = tuple(RawKey(str(key), str(value)) for key, value in data["raw"])
            devices = tuple(str(device) for device in data["devices"])
            # an older run wrote none
            daemon = {str(key): value for key, value in data.get("daemon", {}).items()}
            return cls(features, raw, devices, daemon, str(data.get("profile", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def render(self) -> str:
        """The text of the file; empty where nothing is ours, and then there is no file."""
        if self == Managed():
            return ""
        data = {
            "features": dict(self.features),
            "raw": [[raw.key, raw.value] for raw in self.raw],
            "devices": list(self.devices),
            "profile": self.profile,
            "daemon": dict(self.daemon),
        }
        return json.dumps(data, indent=1) + "\n"
