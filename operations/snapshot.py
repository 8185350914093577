"""A Proxmox snapshot of a container, before anything is done to it."""

from __future__ import annotations

from collections.abc import Callable, Generator

from pyinfra.api import OperationValueError, QuoteString, StringCommand, operation

from operations import transaction
from operations.unit import unit
from phoenix.changes import ContainerChange
from phoenix.journal import check_run_id
from phoenix.pve_values import check_ctid

SCRIPT = (transaction.NODE / "snapshot.sh").read_text(encoding="utf-8")


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
        f"sh -s {ctid}",
        QuoteString(f"phoenix-{run}"),
        QuoteString(f"before run {run} of phoenix-harden"),
        _stdin=SCRIPT,
    )
    # only here at execute time: detecting changes ends at the first command
    if again is not None and (change := again(ctid)):
        yield StringCommand("rm -r", QuoteString(f"{transaction.RUNS}/{run}/{ctid}"))
        yield from transaction.stage._inner(run=run, changes=(change,))
