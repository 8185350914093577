"""Whether /etc/pve takes the confs that a run is going to write."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api import StringCommand, operation

from facts.program import doing
from phoenix.runs.record import check_run_id


@operation(is_idempotent=False)
def try_etc_pve(run: str) -> Generator[StringCommand, None, None]:
    """Write a small file beside the node's confs and take it away again; fails where that does.

    + run: id of the run
    """
    check_run_id(run)
    yield doing("try-etc-pve")
