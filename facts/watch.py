"""What a node has of the watch over its containers' labels."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.watch import SCRIPT, SERVICE, TIMER, WANTED, ObservedWatch, parse_watch

ASK = Path(__file__).parents[1] / "templates/node/watch-state.sh"


class Watch(FactBase[ObservedWatch]):
    """The files of the watch that are there, and whether its timer is enabled and runs.

    ```
    file /var/lib/phoenix-harden/wanted 910%20lxc-docker-nested%20enforce%0A
    timer on
    ```

    becomes `ObservedWatch(files={"/var/lib/phoenix-harden/wanted":
    "910 lxc-docker-nested enforce\\n"}, timer=True)`.
    """

    @override
    def command(self) -> StringCommand:
        """Ask for all of it at once."""
        files = (SCRIPT, SERVICE, TIMER, WANTED)
        return StringCommand("sh", "-c", QuoteString(ASK.read_text()), "watch-state", *files)

    @staticmethod
    @override
    def default() -> ObservedWatch:
        return ObservedWatch()

    @override
    def process(self, output: list[str]) -> ObservedWatch:
        return parse_watch(output)
