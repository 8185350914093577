"""What a node can fall back on."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.pve.backups import ObservedBackups, backups_from_json


class Backups(Observed[ObservedBackups]):
    """The storages of a node and, with `backups`, the backups of containers on all of them.

    Directories are read; a Proxmox Backup Server is asked through `pvesm list`, which takes
    seconds, and 60 at most, and for what it has verified through `pvesh`. Times in file names are
    those of the node's zone.

    ```
    {"backups": {"now": "2026-11-22T02:00:00Z", "storages": {"pbs": "pbs"},
     "backups": [[910, "2026-11-22T01:30:00Z", "pbs", "ok"]],
     "problems": ["storage nas: /mnt/pve/nas is not mounted"]}}
    ```

    becomes `ObservedBackups(now=datetime(2026, 11, 22, 2, tzinfo=UTC), storages={"pbs": "pbs"},
    backups={910: (Backup(datetime(2026, 11, 22, 1, 30, tzinfo=UTC), "pbs", "ok"),)},
    problems=("storage nas: /mnt/pve/nas is not mounted",))`.
    """

    section = "backups"
    read = staticmethod(backups_from_json)

    @override
    def command(self, backups: bool) -> StringCommand:
        """Ask once for all storages and containers; without `backups` the storages alone."""
        return asking({self.section: {"listed": backups}})

    @staticmethod
    @override
    def default() -> ObservedBackups:
        return ObservedBackups()
