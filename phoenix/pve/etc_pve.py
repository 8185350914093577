"""Whether a node's /etc/pve takes changes: pmxcfs, which holds the confs of its containers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Bytes that have to be free: what the largest file takes (pmxcfs memdb.h, MEMDB_MAX_FILE_SIZE).
ROOM = 1024 * 1024


@dataclass(frozen=True)
class ObservedEtcPve:
    """What pmxcfs says of itself (`node.etc_pve`); None where it does not.

    `mode`: of the folder with the node's confs; `quorate`: of `.members`; `read_only`, `free` bytes
    and `files`, how many more there may be: of its file system; `database`: bytes free below it.
    """

    mode: int | None = None
    quorate: bool | None = None
    read_only: bool | None = None
    free: int | None = None
    files: int | None = None
    database: int | None = None

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Why no conf can be written there, and what to do; or None.

        >>> ObservedEtcPve(mode=0o555).refusal[0]
        'this node has no quorum: /etc/pve takes no changes'
        """
        # pmxcfs, cfs-plug-memdb.c tree_entry_stat: without quorum folders are 0555, and
        # dcdb_send_fuse_message refuses with EACCES
        if self.quorate is False or (self.mode is not None and not self.mode & 0o200):
            why = "this node has no quorum: /etc/pve takes no changes"
            return why, "pvecm status says which nodes are missing"
        if self.read_only:
            why = "/etc/pve is mounted read-only"
            return why, "systemctl restart pve-cluster, and see its journal"
        if self.files == 0 or (self.free is not None and self.free < ROOM):
            return "/etc/pve is full", "take out of it what does not belong there"
        # a write that does not reach the database leaves pmxcfs refusing all others (memdb.c)
        if self.database is not None and self.database < ROOM:
            why = "less than 1 MiB is free in /var/lib/pve-cluster, which keeps /etc/pve"
            return why, "make room on that disk"
        return None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def etc_pve_from_json(data: Mapping[str, Any]) -> ObservedEtcPve:
    """Read the section `etc_pve` of the node's answer."""
    return ObservedEtcPve(**data)
