"""What Docker in the guests is and has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.docker import ObservedDocker, parse_dockers

_NODE = Path(__file__).parents[1] / "templates/node"
SCRIPT = _NODE / "docker.sh"
GUEST = _NODE / "docker-guest.sh"


class Dockers(FactBase[Mapping[int, ObservedDocker]]):
    """Docker, its data, its daemon.json and its packages in every asked-for container.

    One command for all of them, side by side, and one `lxc-attach` each; a guest that hangs
    costs its time-out (60 seconds, or `PHOENIX_GUEST_TIMEOUT` on the node). An excerpt::

        910 ok guest%201%0Aos%20debian%2013%0Ainfo%20{"Driver":"overlay2",...
        953 none
        954 hung

    The lines of a guest, percent-encoded, are those of `templates/node/docker-guest.sh`. It
    becomes `{910: ObservedDocker("ok", version="26.1.5+dfsg1", driver="overlay2", ...),
    953: ObservedDocker("none"), 954: ObservedDocker("hung")}`.
    """

    @override
    def command(self, ctids: tuple[int, ...], probe: Collection[int] = ()) -> StringCommand:
        """Ask in these containers; in those of `probe` also try to mount an overlay."""
        return StringCommand(
            "sh",
            "-c",
            QuoteString(SCRIPT.read_text(encoding="utf-8")),
            "docker",
            QuoteString(GUEST.read_text(encoding="utf-8")),
            *(f"{ctid:d}:probe" if ctid in probe else f"{ctid:d}" for ctid in ctids),
        )

    @staticmethod
    @override
    def default() -> Mapping[int, ObservedDocker]:
        return {}

    @override
    def process(self, output: list[str]) -> Mapping[int, ObservedDocker]:
        return parse_dockers(output)
