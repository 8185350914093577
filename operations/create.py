"""A container that a node lacks: made on the node alone, confined from its first start."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence

from pyinfra.api import StringCommand, operation

from facts.program import doing
from operations import transaction
from operations.diff import FileOf, show_diffs
from operations.unit import LONGEST
from phoenix.plan.creation import Creation
from phoenix.runs.record import check_run_id


@operation()
def container(
    run: str, ctid: int, creation: Creation, shown: bool = False
) -> Generator[StringCommand, None, None]:
    """Make one container: what it mounts, `pct`, its raw lines, its first start, Docker, the proof.

    + run: id of the run
    + ctid: the container
    + creation: how it is made, and what is proven of it
    + shown: its new conf has been shown (`show_confs`)

    Staged first, then done in a transient unit, which finishes or takes it away without the
    operator. Fails where it was refused or taken away; its lines say why. Datasets and folders that
    it made stay.
    """
    if not shown:
        show_confs([creation])
    files = {
        **transaction.staged_files(creation.change),
        "create.json": json.dumps(creation.to_json()),
    }
    # nothing stays of an earlier attempt
    request = {"containers": {str(ctid): files}, "replace": [ctid]}
    yield doing("stage", check_run_id(run), request=request)
    # a big template, and packages from far away
    yield transaction.whole("create", run, ctid, _timeout=LONGEST)


@operation()
def recover(
    undecided: str, run: str, ctid: int, again: Callable[[int], Creation | None]
) -> Generator[StringCommand, None, None]:
    """Take away what an earlier run was interrupted in making, then make it.

    + undecided: id of that run; if it works still, this waits for it
    + run: id of this run
    + ctid: the container
    + again: plans its making, once it is known how it is; None: there is nothing to make
    """
    yield transaction.recovery(undecided, ctid)
    if creation := again(ctid):
        yield from container._inner(run=run, ctid=ctid, creation=creation)


def show_confs(creations: Sequence[Creation]) -> None:
    """Print the confs that are coming; of many that are alike one, and whose the others are."""
    show_diffs([_conf(one) for one in creations])


def _conf(creation: Creation) -> FileOf:
    path, after = f"/etc/pve/lxc/{creation.ctid}.conf", creation.change.after.render()
    return FileOf(creation.ctid, creation.name, path, None, after)
