"""Which host directories and devices of the fleet file are on a node."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.storage import ObservedStorage, parse_storage

SCRIPT = Path(__file__).parents[1] / "templates/node/storage.sh"


class Storage(FactBase[ObservedStorage]):
    """Those of `paths` that exist, and the mountpoints of the node's ZFS datasets.

    ```
    exists /dev/nvidia0
    dataset tank/portainer_data /srv/portainer
    ```

    becomes `ObservedStorage(paths=("/dev/nvidia0",), datasets={"tank/portainer_data":
    "/srv/portainer"})`.
    """

    @override
    def command(self, paths: tuple[str, ...]) -> StringCommand:
        """Ask once, for all paths."""
        script = SCRIPT.read_text()
        return StringCommand(
            "sh", "-c", QuoteString(script), "storage", *(QuoteString(path) for path in paths)
        )

    @staticmethod
    @override
    def default() -> ObservedStorage:
        return ObservedStorage()

    @override
    def process(self, output: list[str]) -> ObservedStorage:
        return parse_storage(output)
