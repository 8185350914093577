"""A Proxmox snapshot of a container, before anything is done to it."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api import OperationValueError, StringCommand, operation

from facts import program
from node import pack
from operations import transaction
from operations.there import Again, There
from operations.unit import UnitCommand, unit
from phoenix.pve.values import check_ctid
from phoenix.runs.record import check_run_id


@operation()
def snapshot(
    run: str, ctid: int, again: Again | None = None
) -> Generator[StringCommand, None, None]:
    """Take a snapshot that is named after the run, and stage what the run has for it anew.

    + run: id of the run
    + ctid: the container
    + again: plans the container anew, because a snapshot changes its conf; where it is on another
      node by now that one takes it

    Fails where none came to be, whatever `pct` returned; its lines say why.
    """
    try:
        check_ctid(ctid)
    except ValueError as error:
        raise OperationValueError(str(error)) from None
    check_run_id(run)
    yield _taken(run, ctid)
    # only here at execute time: detecting changes ends at the first command
    planned = None if again is None else again(ctid)
    if isinstance(planned, There):
        # its commit finds that, too, and plans with the snapshot there
        yield from planned.send([_taken(run, ctid)])
    elif planned:
        yield from transaction.stage._inner(run=run, changes=(planned,), replace=(ctid,))


def _taken(run: str, ctid: int) -> UnitCommand:
    return unit(
        f"snapshot-{ctid}",
        f"snapshot CT {ctid}",
        *program.words("snapshot", str(ctid), f"phoenix-{run}"),
        _stdin=pack.stdin({"description": f"before run {run} of phoenix-harden"}),
    )
