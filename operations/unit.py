"""Commands that a node finishes by itself, whatever becomes of the operator."""

from __future__ import annotations

from typing import Unpack

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.arguments import ConnectorArguments

#: Seconds after which a command that does not end is given up by the operator; the node goes on.
TIMEOUT = 1800


def unit(
    name: str, purpose: str, *command: str | QuoteString, **arguments: Unpack[ConnectorArguments]
) -> StringCommand:
    """A command as the transient unit `phoenix-harden-NAME`, waited for, its output shown.

    `arguments`: pyinfra's own, such as `_stdin` for what the command reads.
    """
    arguments.setdefault("_timeout", TIMEOUT)
    return StringCommand(
        "systemd-run --wait --pipe --collect --quiet",
        QuoteString(f"--unit=phoenix-harden-{name}"),
        QuoteString(f"--description=phoenix-harden: {purpose}"),
        *command,
        **arguments,
    )
