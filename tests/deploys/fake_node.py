"""A node with scripted answers, for pyinfra's `@fake` connector."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

CONF = """\
features: nesting=1
hostname: {name}
unprivileged: 1
lxc.apparmor.profile: unconfined
"""


def docker(ctid, *lines, **info):
    """What the node says of a guest whose Docker answers."""
    answer = {"ServerVersion": "26.1.5", "Driver": "overlay2", "Images": 1, **info}
    text = "\n".join(["guest 1", f"info {json.dumps(answer)}", *lines])
    return f"{ctid} ok {quote(text)}"


APPARMOR = ["enabled Y", "parser 4.1.0", "abi 4.0"]


@dataclass
class FakeNode:
    """A node that answers facts; commands that no answer is scripted for succeed silently.

    Each answer takes `delay` seconds.
    """

    name: str
    confs: Mapping[int, str]
    label: str = "unconfined"
    apparmor: list[str] = field(default_factory=lambda: list(APPARMOR))
    dockers: list[str] = field(default_factory=list)
    wanted: str | None = None
    delay: float = 0
    denials: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    responses: dict[str, object] = field(default_factory=dict)

    def host(self) -> tuple[str, dict[str, object]]:
        """The node as an entry of an inventory."""
        facts = {
            "# Prints what this node knows": self._containers(),
            "# apparmor NAME...": self.apparmor,
            "# denials KINDS": self.denials,
            "# raw-rules CTID": self.rules,
            "# docker GUEST-SCRIPT": self.dockers,
        }
        return f"@fake/{self.name}", {
            # the first match wins: a case may answer a fact differently
            "fake_responses": {**self.responses, **facts, **self.responses},
            "fake_delay": self.delay,
            "fake_delay_jitter": 0,
        }

    def _containers(self) -> list[str]:
        lines = [f"node {self.name}"]
        if self.wanted is not None:
            lines.append(f"wanted {quote(self.wanted)}")
        for ctid, conf in self.confs.items():
            lines.append(f"ct {ctid} running {ctid} 1795308303 {quote(self.label)} -")
            lines.append(f"conf {ctid} {quote(conf)}")
        return lines
