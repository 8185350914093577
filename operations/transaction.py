"""A run on a node: stage everything where it harms nothing, then commit container by container."""

from __future__ import annotations

import io
import tarfile
from base64 import encodebytes
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Unpack

from pyinfra import host
from pyinfra.api import OperationValueError, QuoteString, StringCommand, operation
from pyinfra.api.arguments import ConnectorArguments

from facts.staged import Changed
from operations.diff import show_diff
from operations.unit import unit
from phoenix import daemon_json
from phoenix.changes import ContainerChange
from phoenix.journal import check_run_id
from phoenix.pve_values import check_ctid

NODE = Path(__file__).parents[1] / "templates/node"
STATE = "/var/lib/phoenix-harden"
RUNS = f"{STATE}/runs"

#: The exit code of templates/node/commit.sh for a conf that changed since it was staged.
CHANGED = 4

#: Free space that a run asks for, in KiB: before-images are small, a full disk stops everything.
ROOM = 64 * 1024


@operation()
def stage(run: str, changes: tuple[ContainerChange, ...]) -> Generator[StringCommand, None, None]:
    """Lay the run's folder with everything that its commits need; nothing live is touched.

    + run: id of the run
    + changes: the containers to change, with their confs before and after

    One command: the files travel as a tar on stdin, not through a world-readable temporary file.
    Fails where less than 64 MiB are free for it.
    """
    folder = f"{RUNS}/{check_run_id(run)}"
    files = {
        **{
            name: ((NODE / f"{name}.sh").read_bytes(), 0o700)
            for name in ("commit", "write-conf", "restart", "daemon-json")
        },
        "probe.tar": (_tar({"probe": ((NODE / "probe").read_bytes(), 0o755)}), 0o600),
    }
    for change in changes:
        show_diff(f"/etc/pve/lxc/{change.ctid}.conf", change.before.render(), change.after.render())
        if change.guest and change.guest.file_changes:
            name = f"CT {change.ctid}: {daemon_json.FILE}"
            show_diff(name, change.guest.before, change.guest.after or "")
        files.update(
            (f"{change.ctid}/{name}", (data, 0o600)) for name, data in _staged(change).items()
        )
    yield StringCommand(
        "umask 077 && mkdir -p",
        QuoteString(folder),
        "&& if [ $(df -Pk",
        QuoteString(folder),
        f"| awk 'END {{ print $4 }}') -lt {ROOM} ]; then echo",
        QuoteString(f"less than 64 MiB are free in {STATE}: make room and run again"),
        ">&2; exit 1; fi && base64 -d | tar -x -C",
        QuoteString(folder),
        "&& sync -f",
        QuoteString(folder),
        _stdin=encodebytes(_tar(files)).decode(),
    )


@operation()
def commit(
    run: str, ctid: int, again: Callable[[int], ContainerChange | None] | None = None
) -> Generator[StringCommand, None, None]:
    """Swap in what is staged for one container, restart it, prove it, or put it back.

    + run: id of the run
    + ctid: the container
    + again: plans the container anew when somebody changed its conf since it was staged; without
      it the operation fails then

    Runs in a transient unit, so that it finishes or restores without the operator. Fails when
    the container was refused or restored; its lines say why.
    """
    if again is None:
        yield _commit(run, ctid)
        return
    yield _commit(run, ctid, _success_exit_codes=[0, CHANGED])
    # only here at execute time: detecting changes ends at the first command
    folder = f"{RUNS}/{run}/{ctid}"
    if host.get_fact(Changed, folder=folder) and (change := again(ctid)):
        yield StringCommand("rm -r", QuoteString(folder))
        yield from stage._inner(run=run, changes=(change,))
        yield _commit(run, ctid)


@operation()
def settle(
    undecided: str,
    run: str,
    ctid: int,
    again: Callable[[int], ContainerChange | None],
    back_is_fine: bool = False,
) -> Generator[StringCommand, None, None]:
    """Bring to an end what an earlier run began for a container, then do what is left to do.

    + undecided: id of that run; if its commit works still, this waits for it
    + run: id of this run
    + ctid: the container
    + again: plans the container, once it is known how it is
    + back_is_fine: go on although the earlier run's change was taken back

    The journal of the earlier run says how far it came: it is proven, or put back.
    """
    codes = [0, 1] if back_is_fine else [0]
    yield _commit(undecided, ctid, "settle", _success_exit_codes=codes)
    if change := again(ctid):
        yield from stage._inner(run=run, changes=(change,))
        yield _commit(run, ctid)


def _commit(
    run: str, ctid: int, *words: str, **arguments: Unpack[ConnectorArguments]
) -> StringCommand:
    """The commit of one container as a transient unit. Raises OperationValueError."""
    try:
        check_ctid(ctid)
    except ValueError as error:
        raise OperationValueError(str(error)) from None
    return unit(
        "-".join((*words, check_run_id(run), str(ctid))),
        f"{' '.join(words) or 'commit'} CT {ctid}",
        QuoteString(f"{RUNS}/{run}/commit"),
        str(ctid),
        *words,
        **arguments,
    )


def _staged(change: ContainerChange) -> Mapping[str, bytes]:
    """The files of one container, as `templates/node/commit.sh` reads them."""
    files = {"conf": change.after.to_bytes()}
    if change.label:
        files["label"] = str(change.label).encode()
    if change.docker:
        files["docker"] = b""
    if change.restart:
        files["restart"] = b""
    if change.ours is not None:
        files["ours"] = change.ours.render().encode()
    if change.driver:
        files["driver"] = change.driver.encode()
    if change.driver_before:
        files["driver-before"] = change.driver_before.encode()
    if change.guest:
        if change.guest.after is not None:
            files["daemon.json"] = daemon_json.encode(change.guest.after)
        files["daemon-before"] = change.guest.digest_before.encode()
    # the last one: commit refuses what arrived cut short
    return {**files, "before": change.before.sha256.encode()}


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar of these files (data, mode), the same bytes for the same input."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
