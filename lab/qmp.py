"""QEMU's monitor (QMP) over a unix socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import LabError


class Monitor:
    """A connection to a running QEMU."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb")
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: object) -> Any:
        """Run a QMP command and return its answer."""
        request = {"execute": name, "arguments": arguments}
        self._file.write(json.dumps(request).encode() + b"\n")
        self._file.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise LabError(f"QEMU refused {name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def human(self, line: str) -> None:
        """Run a command of the human monitor; what it prints is an error."""
        said = str(self.command("human-monitor-command", **{"command-line": line})).strip()
        if said:
            raise LabError(f"QEMU refused {line}: {said.splitlines()[0]}")

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise LabError("QEMU closed its monitor")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def monitor(path: Path, timeout: float) -> Iterator[Monitor]:
    """Connect to the socket; a path of any length will do (the kernel's limit is 108 bytes)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            yield Monitor(connection)
    except OSError as problem:
        raise LabError(f"QEMU's monitor does not answer: {problem}") from None
    finally:
        os.close(folder)
