"""What a node can fall back on."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.backups import ObservedBackups, parse_backups

SCRIPT = Path(__file__).parents[1] / "templates/node/backups.pl"


class Backups(FactBase[ObservedBackups]):
    """The storages of a node and, with `backups`, the backups of containers on all of them.

    Directories are read; a Proxmox Backup Server is asked through `pvesm list`, which takes
    seconds, and 60 at most. Times in file names are those of the node's zone.

    ```
    now 2026-11-22T02:00:00Z
    storage local dir
    backup 910 2026-11-22T01:30:00Z local
    problem storage%20nas:%20/mnt/pve/nas%20is%20not%20mounted
    ```

    becomes `ObservedBackups(now=datetime(2026, 11, 22, 2, tzinfo=UTC), storages={"local": "dir"},
    newest={910: (datetime(2026, 11, 22, 1, 30, tzinfo=UTC), "local")},
    problems=("storage nas: /mnt/pve/nas is not mounted",))`.
    """

    @override
    def command(self, backups: bool) -> StringCommand:
        """Ask once for all storages and containers; without `backups` the storages alone."""
        words = ("backups",) if backups else ()
        return StringCommand("perl", "-e", QuoteString(SCRIPT.read_text()), *words)

    @staticmethod
    @override
    def default() -> ObservedBackups:
        return ObservedBackups()

    @override
    def process(self, output: list[str]) -> ObservedBackups:
        return parse_backups(output)
