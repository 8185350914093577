"""A run on a node: stage everything where it harms nothing, then commit container by container."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Unpack

from pyinfra.api import OperationValueError, StringCommand, operation
from pyinfra.api.arguments import ConnectorArguments

from facts import program
from node import pack
from operations import docker
from operations.diff import FileOf, show_diffs
from operations.there import Again, There
from operations.unit import UnitCommand, unit
from phoenix.docker.names import DAEMON_JSON
from phoenix.plan.actions import ContainerChange
from phoenix.pve.values import check_ctid
from phoenix.runs.outcome import EXIT, Ending, read_outcome, read_outcomes
from phoenix.runs.record import check_run_id

#: Where the node keeps its runs.
RUNS = "/var/lib/phoenix-harden/runs"

#: So many containers are committed by one command: their numbers are words of it.
TOGETHER = 100

_PYTHON = "/usr/bin/python3 -I"


@operation()
def stage(
    run: str, changes: tuple[ContainerChange, ...], replace: Collection[int] = ()
) -> Generator[StringCommand, None, None]:
    """Lay the run's folder with everything that its commits need; nothing live is touched.

    + run: id of the run
    + changes: the containers to change, with their confs before and after
    + replace: those of which nothing stays that was staged before

    One command: the files travel on stdin, not through a world-readable temporary file. Fails
    where less than 64 MiB are free for it.
    """
    show_diffs([_conf(one) for one in changes])
    show_diffs([file for one in changes for file in _daemon_json(one)])
    containers = {str(change.ctid): staged_files(change) for change in changes}
    request = {"containers": containers, "replace": [*replace]}
    yield program.doing("stage", check_run_id(run), request=request)


@operation()
def commit(run: str, ctid: int, again: Again | None = None) -> Generator[StringCommand, None, None]:
    """Swap in what is staged for one container, restart it, prove it, or restore the old state.

    + run: id of the run
    + ctid: the container
    + again: plans the container anew when somebody changed its conf since it was staged, or it is
      on another node by now, where it is done then; without it the operation fails then

    Runs in a transient unit, so that it finishes or restores without the operator. Fails when
    the container was refused or restored; its lines say why.
    """
    if again is None:
        yield _commit(run, ctid)
        return
    command = _commit(run, ctid, _success_exit_codes=[0, EXIT[Ending.CHANGED]])
    yield command
    # only here at execute time: detecting changes ends at the first command
    told = read_outcome(ctid, command.lines)
    if told and told.ending is Ending.CHANGED:
        yield from _anew(run, ctid, again)


@operation()
def commit_together(
    run: str, ctids: Sequence[int], again: Again
) -> Generator[StringCommand, None, None]:
    """Swap in what is staged for containers of which nothing is restarted, so many in one command.

    + run: id of the run
    + ctids: the containers, in their order
    + again: plans a container anew when somebody changed its conf since it was staged, or it is
      on another node by now, where it is done then

    Each is a transaction of its own; after one that fails no other is begun.
    """
    for begin in range(0, len(ctids), TOGETHER):
        some = ctids[begin : begin + TOGETHER]
        command = _commit(run, *some, _success_exit_codes=[0, EXIT[Ending.CHANGED]])
        yield command
        for ctid, told in read_outcomes(command.lines).items():
            if ctid in some and told.ending is Ending.CHANGED:
                yield from _anew(run, ctid, again)


@operation()
def recover(
    undecided: str,
    run: str,
    ctid: int,
    again: Again,
    back_is_fine: bool = False,
) -> Generator[StringCommand, None, None]:
    """Recover what an earlier run was interrupted in, then do what is left to do.

    + undecided: id of that run; if its commit works still, this waits for it
    + run: id of this run
    + ctid: the container
    + again: plans the container, once it is known how it is
    + back_is_fine: go on although the earlier run's change was reverted

    The journal of the earlier run says how far it came: it is proven, or restored.
    """
    fine = [0, EXIT[Ending.CHANGED], *([EXIT[Ending.RESTORED]] if back_is_fine else [])]
    yield recovery(undecided, ctid, _success_exit_codes=fine)
    yield from _anew(run, ctid, again)


def _anew(run: str, ctid: int, again: Again) -> Generator[StringCommand, None, None]:
    """Plan a container anew, and commit that."""
    planned = again(ctid)
    if isinstance(planned, There):
        yield from planned.send(_brought(run, planned))
    elif planned:
        yield from _whole(run, planned)


def _whole(run: str, change: ContainerChange) -> Generator[StringCommand, None, None]:
    """Stage one container, with nothing of what was staged for it before, and commit that."""
    yield from stage._inner(run=run, changes=(change,), replace=(change.ctid,))
    yield _commit(run, change.ctid)


def _brought(run: str, planned: There) -> Generator[StringCommand, None, None]:
    """The same on a node where nothing has been done for it, its guest's packages included."""
    change = planned.change
    if planned.undoes:
        # it may have had nothing to do before
        yield program.doing("begin", check_run_id(run), check_run_id(planned.undoes))
    if change.guest and change.guest.packages:
        yield from docker.packages._inner(
            ctid=change.ctid, packages=change.guest.packages, observed=planned.docker, run=run
        )
    yield from _whole(run, change)


def _conf(change: ContainerChange) -> FileOf:
    path = f"/etc/pve/lxc/{change.ctid}.conf"
    return FileOf(change.ctid, change.name, path, change.before.render(), change.after.render())


def _daemon_json(change: ContainerChange) -> Iterator[FileOf]:
    guest = change.guest
    if guest and guest.file_changes:
        path = f"CT {change.ctid}: {DAEMON_JSON}"
        yield FileOf(change.ctid, change.name, path, guest.before, guest.after or "")


def _commit(run: str, *ctids: int, **arguments: Unpack[ConnectorArguments]) -> UnitCommand:
    return whole("commit", run, *ctids, **arguments)


def whole(verb: str, run: str, *ctids: int, **arguments: Unpack[ConnectorArguments]) -> UnitCommand:
    """What is staged for containers (`commit`, and `create`, `destroy` of one) as a transient unit.

    Recovered if anything ends it too early. Raises OperationValueError.
    """
    names = [_unit_name(run, ctid) for ctid in ctids]
    staged = f"{_PYTHON} {RUNS}/{run}/node.pyz"
    words = " ".join(f"{ctid}" for ctid in ctids)
    more = f" and {len(ctids) - 1} more" if len(ctids) > 1 else ""
    return unit(
        names[0],
        f"{verb} CT {ctids[0]}{more}",
        f"{staged} {verb} {run} {words}",
        afterwards=f"{staged} recover {run} {words} --if-cut",
        **arguments,
    )


def recovery(run: str, ctid: int, **arguments: Unpack[ConnectorArguments]) -> StringCommand:
    """The end of what was cut short, by the program as it is now: the run may be older.

    Raises OperationValueError.
    """
    arguments["_stdin"] = pack.stdin()
    return unit(
        f"recover-{_unit_name(run, ctid)}",
        f"recover CT {ctid}",
        *program.words("recover", run, str(ctid)),
        **arguments,
    )


def _unit_name(run: str, ctid: int) -> str:
    try:
        check_ctid(ctid)
    except ValueError as error:
        raise OperationValueError(str(error)) from None
    return f"{check_run_id(run)}-{ctid}"


def staged_files(change: ContainerChange) -> Mapping[str, str]:
    """The files of one container, as `node.staged` reads them."""
    files = {"conf": change.after.text, "before": change.before.sha256}
    if change.label:
        files["label"] = str(change.label)
    if change.docker:
        files["docker"] = change.architecture
    if change.restart:
        files["restart"] = ""
    if change.managed is not None:
        files["ours"] = change.managed.render()
    if change.driver:
        files["driver"] = change.driver
    if change.driver_before:
        files["driver-before"] = change.driver_before
    if change.accept:
        files["accept"] = "\n".join(change.accept)
    if change.settle:
        files["settle"] = str(change.settle)
    if change.health:
        files["health"] = change.health.render()
    if change.ha:
        files["ha"] = ""
    if change.apart:
        files["apart"] = "\n".join(map(str, change.apart))
    if change.guest:
        if change.guest.after is not None:
            files["daemon.json"] = change.guest.after
        files["daemon-before"] = change.guest.digest_before
    return files
