"""Rolling back a run: what it did to the node's own files, and the containers that it made.

Containers that it changed go back by `transaction.commit`.
"""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api import StringCommand, operation

from facts.program import doing
from operations import transaction
from operations.diff import show_diff
from phoenix.docker.daemon_json import digest
from phoenix.plan.actions import Destruction, FileRevert
from phoenix.runs.record import check_run_id


@operation()
def begin(run: str, undoes: str) -> Generator[StringCommand, None, None]:
    """Open the journal of a run that rolls back another.

    + run: id of this run
    + undoes: id of the other
    """
    yield doing("begin", check_run_id(run), check_run_id(undoes))


@operation()
def restore_file(change: FileRevert, run: str, undoes: str) -> Generator[StringCommand, None, None]:
    """Give a file of the node back what a run replaced, or take away what it brought.

    + change: the file, as it is and as it shall be
    + run: id of this run, which keeps a copy of what it replaces
    + undoes: id of the run that is rolled back, which kept the old text

    What a container still needs is kept, with the reason: a profile that a process carries, a
    file that a conf names.
    """
    show_diff(change.path, change.before, change.after)
    yield doing(
        "restore",
        change.path,
        change.digest,
        digest(change.after),
        check_run_id(undoes),
        check_run_id(run),
    )


@operation()
def destroy(run: str, ctid: int, change: Destruction) -> Generator[StringCommand, None, None]:
    """Destroy a container that the run which is rolled back has made.

    + run: id of this run, which keeps its conf
    + ctid: the container
    + change: how it is; nothing is done if its conf is another by then

    It is shut down first, and goes with its disks; datasets and folders that it mounts stay. In a
    transient unit, which finishes without the operator.
    """
    show_diff(f"/etc/pve/lxc/{ctid}.conf", change.before.render(), None)
    files = {"conf": "", "destroy": "", "before": change.before.sha256}
    request = {"containers": {str(ctid): files}, "replace": [ctid]}
    yield doing("stage", check_run_id(run), request=request)
    yield transaction.whole("destroy", run, ctid)
