"""A Proxmox snapshot of a container, before anything is done to it."""

from __future__ import annotations

from collections.abc import Callable, Generator

from pyinfra.api import OperationValueError, StringCommand, operation

from facts import program
from node import pack
from operations import transaction
from operations.unit import unit
from phoenix.plan.actions import ContainerChange
from phoenix.pve.values import check_ctid
from phoenix.runs.record import check_run_id


@operation()
def snapshot(
    run: str, ctid: int, again: Callable[[int], ContainerChange | None] | None = None
) -> Generator[StringCommand, None, None]:
    """Take a snapshot that is named after the run, and stage what the run has for it anew.

    + run: id of the run
    + ctid: the container
    + again: plans the container anew, because a snapshot changes its conf

    Fails where none came to be, whatever `pct` returned; its lines say why.
    """
    try:
        check_ctid(ctid)
    except ValueError as error:
        raise OperationValueError(str(error)) from None
    check_run_id(run)
    yield unit(
        f"snapshot-{ctid}",
        f"snapshot CT {ctid}",
        *program.words("snapshot", str(ctid), f"phoenix-{run}"),
        _stdin=pack.stdin({"description": f"before run {run} of phoenix-harden"}),
    )
    # only here at execute time: detecting changes ends at the first command
    if again is not None and (change := again(ctid)):
        yield from transaction.stage._inner(run=run, changes=(change,), replace=(ctid,))
