"""The node's own configuration, written to the operator's machine as one archive."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from pathlib import Path

from pyinfra.api import Host, State, StringCommand, operation
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.output import echo
from pyinfra.connectors.util import CommandOutput
from typing_extensions import override

from facts.program import doing
from phoenix.runs.archive import CONTENT, read_archive
from phoenix.runs.record import check_run_id
from phoenix.text.printable import printable

#: Of what could not be read so many are named.
_SHOWN = 5


@operation(is_idempotent=False)
def keep_config(run: str, file: str) -> Generator[StringCommand, None, None]:
    """Write `/etc/pve` and `/etc/apparmor.d` of the node as they are into a file of this machine.

    + run: id of the run before which that is
    + file: a `.tar.gz` that is not there yet, which only its owner will be able to read

    Keys stay on the node: `priv` folders and `*.key` are left out. Fails where the archive does not
    arrive whole or cannot be written; nothing is left of it then.
    """
    check_run_id(run)
    yield _Fetch(doing("archive"), Path(file))


class _Fetch(StringCommand):
    """A command whose output is the archive: it goes into a file instead of onto the screen."""

    def __init__(self, command: StringCommand, into: Path) -> None:
        super().__init__(command, **command.connector_arguments)
        self._into = into

    @override
    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        connector_arguments.update(self.connector_arguments)
        done, output = host.run_shell_command(
            self, print_output=False, print_input=state.print_input, **connector_arguments
        )
        try:
            if not done:
                raise ValueError(" ".join(output.output.split()) or "the node gives no reason")
            archive = read_archive(output.stdout_lines)
            _write_new(self._into, archive.data)
        except OSError as error:
            return self._failed(host, f"cannot write {self._into}: {error.strerror}")
        except ValueError as error:
            return self._failed(host, str(error))
        _tell(host, f"written: {self._into}: {archive.files} files, {CONTENT}")
        for one in archive.left_out[:_SHOWN]:
            _tell(host, f"not in it: {one}")
        if len(archive.left_out) > _SHOWN:
            _tell(host, f"not in it: {len(archive.left_out) - _SHOWN} more")
        return True, CommandOutput([])

    def _failed(self, host: Host, why: str) -> tuple[bool, CommandOutput]:
        _tell(host, f"no archive of its configuration: {why}: nothing was changed")
        return False, CommandOutput([])


def _tell(host: Host, text: str) -> None:
    echo(f"{host.print_prefix}{printable(text, None)}", err=True)


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, for its owner alone, all of it or nothing.

    Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it is there already")
    new = path.with_name(f".{path.name}.new")
    made = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(made, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(made)
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
