"""A run on a node: stage everything where it harms nothing, then commit container by container."""

from __future__ import annotations

import io
import tarfile
from base64 import encodebytes
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from pyinfra import host
from pyinfra.api import OperationValueError, QuoteString, StringCommand, operation

from facts.staged import Changed
from operations.diff import show_diff
from phoenix.journal import check_run_id
from phoenix.plan import ContainerChange

NODE = Path(__file__).parents[1] / "templates/node"
STATE = "/var/lib/phoenix-harden"
RUNS = f"{STATE}/runs"

#: The exit code of templates/node/commit.sh for a conf that changed since it was staged.
CHANGED = 4

#: Seconds after which a commit that does not end is given up by the operator; the node goes on.
COMMIT_TIMEOUT = 1800


@operation()
def stage(run: str, changes: tuple[ContainerChange, ...]) -> Generator[StringCommand, None, None]:
    """Lay the run's folder with everything that its commits need; nothing live is touched.

    + run: id of the run
    + changes: the containers to change, with their confs before and after

    One command: the files travel as a tar on stdin, not through a world-readable temporary file.
    """
    folder = f"{RUNS}/{check_run_id(run)}"
    files = {
        **{
            name: ((NODE / f"{name}.sh").read_bytes(), 0o700)
            for name in ("commit", "write-conf", "restart")
        },
        "probe.tar": (_tar({"probe": ((NODE / "probe").read_bytes(), 0o755)}), 0o600),
    }
    for change in changes:
        show_diff(f"/etc/pve/lxc/{change.ctid}.conf", change.before.render(), change.after.render())
        files.update(
            (f"{change.ctid}/{name}", (data, 0o600)) for name, data in _staged(change).items()
        )
    yield StringCommand(
        "umask 077 && mkdir -p",
        QuoteString(folder),
        "&& base64 -d | tar -x -C",
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
    if isinstance(ctid, bool) or not 100 <= ctid <= 999_999_999:
        raise OperationValueError(f"{ctid!r} is not a CTID")
    unit = f"phoenix-harden-{check_run_id(run)}-{ctid}"
    command = (
        "systemd-run --wait --pipe --collect --quiet",
        QuoteString(f"--unit={unit}"),
        QuoteString(f"--description=phoenix-harden: commit CT {ctid}"),
        QuoteString(f"{RUNS}/{run}/commit"),
        str(ctid),
    )
    if again is None:
        yield StringCommand(*command, _timeout=COMMIT_TIMEOUT)
        return
    yield StringCommand(*command, _timeout=COMMIT_TIMEOUT, _success_exit_codes=[0, CHANGED])
    # only here at execute time: detecting changes ends at the first command
    folder = f"{RUNS}/{run}/{ctid}"
    if host.get_fact(Changed, folder=folder) and (change := again(ctid)):
        yield StringCommand("rm -r", QuoteString(folder))
        yield from stage._inner(run=run, changes=(change,))
        yield StringCommand(*command, _timeout=COMMIT_TIMEOUT)


def _staged(change: ContainerChange) -> Mapping[str, bytes]:
    """The files of one container, as `templates/node/commit.sh` reads them."""
    files = {"conf": change.after.to_bytes()}
    if change.profile:
        files["profile"] = change.profile.encode()
    if change.docker:
        files["docker"] = b""
    if change.restart:
        files["restart"] = b""
    if change.ours is not None:
        files["ours"] = change.ours.render().encode()
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
