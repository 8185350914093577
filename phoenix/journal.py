"""Runs and their names."""

from __future__ import annotations

import re
from datetime import datetime

_RUN_ID = re.compile(r"r[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")


def new_run_id(now: datetime, salt: int) -> str:
    """The id of a run begun at `now` (UTC); it starts with a letter and sorts by time.

    >>> new_run_id(datetime(2026, 11, 22, 1, 30), 0xbeef)
    'r20261122T013000Z-beef'
    """
    return f"r{now:%Y%m%dT%H%M%SZ}-{salt & 0xFFFF:04x}"


def check_run_id(run: str) -> str:
    """Return the id. Raises ValueError for a text that is none: it becomes a folder's name."""
    if not _RUN_ID.fullmatch(run):
        raise ValueError(f"{run!r} is not the id of a run")
    return run
