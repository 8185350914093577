"""The command that runs the node's own program for one verb."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from pyinfra.api import Host, QuoteString, State, StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.util import CommandOutput
from typing_extensions import override

from node.pack import BOOT, stdin

#: Python 3 is on every Proxmox VE node: ceph-common, which libpve-storage-perl needs, brings it.
_MISSING = "python3 is missing on this node: apt install python3"

#: What one argument of a program may have on Linux (MAX_ARG_STRLEN), less what pyinfra, sudo and
#: the shells in between put around it.
_LONGEST = 128 * 1024 - 4096
_TOO_LONG = "too much for one command: ask about fewer at once, or all by facts.observe"


class Sent(StringCommand):
    """A command for a node that may be gone by now: that is the failure of this command alone.

    pyinfra takes OSError for one; paramiko raises EOFError too, as a connection ends.
    """

    @override
    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        try:
            done: tuple[bool, CommandOutput] = super().execute(state, host, connector_arguments)
            return done
        except EOFError:
            raise OSError("the connection is lost") from None


class Asked:
    """What `node.observe` is asked, as it travels: on stdin, where a list of any length has room.

    `request`: section to its arguments, as `node.observe.answer` has them. Its text, which pyinfra
    shows with a fact, has the names of the sections and no list.
    """

    def __init__(self, request: Mapping[str, Mapping[str, Any]]) -> None:
        self._request = {section: dict(arguments) for section, arguments in request.items()}

    def __str__(self) -> str:
        return ",".join(self._request)

    def __iter__(self) -> Iterator[str]:
        return iter(self.readlines())

    def readlines(self) -> list[str]:
        """The lines of stdin, the same at each call: pyinfra may have to ask twice (sudo)."""
        return stdin(self._request, observes=True).splitlines(keepends=True)


def observing(asked: Asked) -> StringCommand:
    """What the node is and has, for whoever gives `asked` as stdin (pyinfra's `_stdin`)."""
    return StringCommand(*_python("observe", str(asked)))


def asking(request: dict[str, dict[str, Any]]) -> StringCommand:
    """The same by a command that needs no stdin, so that it works as any fact's command does.

    The program travels in it. Where the request is too large for that, the command says so and
    fails.
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
) -> Sent:
    """Do one verb; the program and the request come on stdin, which nobody else can read.

    `arguments`: pyinfra's own, such as `_timeout`.
    """
    arguments["_stdin"] = stdin(request)
    return Sent(*_python(verb, *words), **arguments)


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
        # what comes on stdin is taken, or who sends it hears of a broken pipe and nothing else
        ">&2; cat >/dev/null; exit 127; };",
    ]
    return [*there, *words(verb, *arguments)]
