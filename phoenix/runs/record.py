"""Runs, their names, and what each of them changed.

Packed into the node's program: Python 3.9, the standard library and `phoenix.apparmor` only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from phoenix.apparmor.observed import FOLDER, OWN_FILES, PROFILE_NAME, TUNABLES_HOME, TUNABLES_SITE

#: How the id of a run looks.
RUN_ID = re.compile(r"r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")

#: The digest of what is not there.
NONE = "none"

Outcome = Literal["open", "done", "restored", "refused", "failed"]

# the files of the node that a run may change, its profiles aside
_NODE_FILES = frozenset(
    {
        f"{FOLDER}/{TUNABLES_HOME}",
        f"{FOLDER}/{TUNABLES_SITE}",
        *OWN_FILES,
        "/usr/local/lib/phoenix-harden/watch",
        "/etc/systemd/system/phoenix-harden-watch.service",
        "/etc/systemd/system/phoenix-harden-watch.timer",
        "/var/lib/phoenix-harden/wanted",
    }
)


def new_run_id(now: datetime, salt: int) -> str:
    """The id of a run begun at `now` (UTC); it starts with a letter and sorts by time.

    >>> new_run_id(datetime(2026, 11, 22, 1, 30), 0xbeef)
    'r20261122T013000Z-beef'
    """
    return f"r{now:%Y%m%dT%H%M%SZ}-{salt & 0xFFFF:04x}"


def check_run_id(run: str) -> str:
    """Return the id. Raises ValueError for a text that is none: it becomes a folder's name."""
    if not RUN_ID.fullmatch(run):
        raise ValueError(f"{run!r} is not the id of a run: --data list=true shows them")
    return run


@dataclass(frozen=True)
class Thing:
    """What a run can change: a file of the node, or one of a container's (`ctid`).

    `path`: of the node, or `DAEMON_JSON` in the guest, or "" for the guest's packages.
    """

    path: str
    ctid: int | None = None

    @property
    def is_conf(self) -> bool:
        """Whether it is a container's conf."""
        return self.ctid is not None and self.path.startswith("/etc/pve/")

    @property
    def profile(self) -> str | None:
        """The name of the AppArmor profile whose file it is, or None."""
        folder, _, name = self.path.rpartition("/")
        return name if folder == FOLDER else None

    def __str__(self) -> str:
        if self.ctid is None:
            return f"profile {self.profile}" if self.profile else self.path
        if self.is_conf:
            return f"CT {self.ctid}"
        return f"CT {self.ctid} {self.path or 'packages'}"


@dataclass(frozen=True)
class Change:
    """What a run did to one thing.

    `before`, `after`: SHA-256 or `NONE`; `after` is the planned one until `outcome` is `done`,
    then the one that was found; `planned` stays. `packages`: what was newly installed, or shall be
    while `open`.
    `managed`: digest of the note of what was ours in that conf before, `NONE` without one.
    `driver_before`, `driver`: Docker's storage driver before and after a change of daemon.json.
    """

    thing: Thing
    before: str = NONE
    after: str = NONE
    outcome: Outcome = "open"
    packages: tuple[str, ...] = ()
    managed: str = NONE
    driver_before: str = ""
    driver: str = ""
    planned: str = NONE

    @property
    def creates(self) -> bool:
        """Whether it is a container that the run has made: it had no conf before."""
        return self.thing.is_conf and self.before == NONE

    @property
    def stands(self) -> bool:
        """Whether it may still be there: not if it was reverted or never made."""
        return self.outcome in ("open", "done", "failed") and (
            bool(self.packages) or self.before != self.after
        )


@dataclass(frozen=True)
class RunRecord:
    """A run on one node as its journal tells it, changes in the order in which they began.

    `undoes`: the id of the run that it rolled back, None for a run of harden or host_prep.
    `format`: that of its journal; with format 1 what guests had lies among the node's own images.
    `ha`: of containers that HA still ignores because of it, what HA was asked for (`node.ha`).
    """

    id: str
    changes: tuple[Change, ...] = ()
    undoes: str | None = None
    format: int = 1
    ha: Mapping[int, str] = field(default_factory=dict)

    @property
    def open_containers(self) -> tuple[int, ...]:
        """Containers whose commit began and did not end: it works still, or was killed.

        And those whose state in HA is still to be put back.
        """
        return tuple(dict.fromkeys((*self._open_files, *self.ha)))

    @property
    def _open_files(self) -> tuple[int, ...]:
        return tuple(
            change.thing.ctid
            for change in self.changes
            if change.outcome == "open" and change.thing.ctid and change.thing.path
        )

    def held_state(self, ctid: int) -> str:
        """What HA was asked for of it, where nothing but that is to be put back; else ""."""
        return "" if ctid in self._open_files else self.ha.get(ctid, "")

    def open_confs(self, ctid: int) -> tuple[Change, ...]:
        """What it has begun with the conf of a container, and not ended."""
        theirs = (one for one in self.changes if one.thing.ctid == ctid and one.thing.is_conf)
        return tuple(one for one in theirs if one.outcome == "open")


def is_of_node(path: str) -> bool:
    """Whether a run may change, and a rollback restore, this file of the node: a closed set."""
    folder, _, name = path.rpartition("/")
    is_profile = folder == FOLDER and PROFILE_NAME.fullmatch(name) is not None
    return is_profile or path in _NODE_FILES


def last_run(runs: Iterable[RunRecord]) -> str | None:
    """The id of the run that is rolled back when none is named, None where there is none."""
    return max((run.id for run in runs if run.undoes is None), default=None)


def in_the_way(runs: Sequence[RunRecord], run: str, thing: Thing) -> str | None:
    """The id of the last run after `run` that changed the same thing and still stands, or None."""
    undone = {record.undoes for record in runs if record.undoes}
    return max(
        (
            record.id
            for record in runs
            if record.id > run and record.undoes is None and record.id not in undone
            for change in record.changes
            if change.thing == thing and change.stands
        ),
        default=None,
    )
