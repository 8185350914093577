"""What Docker in the guests says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.docker import ObservedDocker, parse_dockers

SCRIPT = Path(__file__).parents[1] / "templates/node/docker.sh"


class Dockers(FactBase[Mapping[int, ObservedDocker]]):
    """Version and storage driver of every asked-for container's Docker, in one command.

    ```
    910 ok 26.1.5+dfsg1|fuse-overlayfs
    953 none
    ```

    becomes `{910: ObservedDocker("ok", "26.1.5+dfsg1", "fuse-overlayfs"),
    953: ObservedDocker("none")}`.
    """

    @override
    def command(self, ctids: tuple[int, ...]) -> StringCommand:
        """Ask in these running containers, all at once."""
        script = SCRIPT.read_text()
        return StringCommand("sh", "-c", QuoteString(script), "docker", *(f"{c:d}" for c in ctids))

    @staticmethod
    @override
    def default() -> Mapping[int, ObservedDocker]:
        return {}

    @override
    def process(self, output: list[str]) -> Mapping[int, ObservedDocker]:
        return parse_dockers(output)
