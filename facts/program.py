"""The command that runs the node's own program for one verb."""

from __future__ import annotations

import shlex
from typing import Any, Unpack

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.arguments import ConnectorArguments

from node.pack import BOOT, stdin

#: Python 3 is on every Proxmox VE node: ceph-common, which libpve-storage-perl needs, brings it.
_MISSING = "python3 is missing on this node: apt install python3"

#: What one argument of a program may have on Linux (MAX_ARG_STRLEN), less what pyinfra, sudo and
#: the shells in between put around it.
_LONGEST = 128 * 1024 - 4096
_TOO_LONG = (
    "the fleet file names too much to be asked in one command: select fewer containers with "
    "--data only=CTID,CTID"
)


def asking(request: dict[str, dict[str, Any]]) -> StringCommand:
    """What the node is and has, as `node.observe` answers: one JSON document on stdout.

    The program travels in the command itself, so that it works as any fact's command does. Where
    the request is too large for that, the command says so and fails.
    """
    sections = ",".join(request)
    asked = StringCommand(
        *_python("observe", sections), "<<'PHOENIX'\n" + stdin(request, observes=True) + "PHOENIX"
    )
    # as the argument that it becomes: quoted once more
    if len(shlex.quote(asked.get_raw_value())) > _LONGEST:
        return StringCommand("echo", QuoteString(_TOO_LONG), ">&2; exit 1")
    return asked


def doing(
    verb: str, *words: str, request: Any = None, **arguments: Unpack[ConnectorArguments]
) -> StringCommand:
    """Do one verb; the program and the request come on stdin, which nobody else can read.

    `arguments`: pyinfra's own, such as `_timeout`.
    """
    arguments["_stdin"] = stdin(request)
    return StringCommand(*_python(verb, *words), **arguments)


def words(verb: str, *words: str) -> list[str | QuoteString]:
    """The same as the words of a command that no shell reads, as in a transient unit.

    `node.pack.stdin(request)` is what it reads.
    """
    return ["python3 -I -c", QuoteString(BOOT), *(QuoteString(word) for word in (verb, *words))]


def _python(verb: str, *arguments: str) -> list[str | QuoteString]:
    missing = QuoteString(_MISSING)
    there: list[str | QuoteString] = [
        "command -v python3 >/dev/null || { echo",
        missing,
        ">&2; exit 127; };",
    ]
    return [*there, *words(verb, *arguments)]
