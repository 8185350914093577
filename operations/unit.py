"""Commands that a node finishes by itself, whatever becomes of the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from pyinfra.api import Host, QuoteString, State
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.util import CommandOutput
from typing_extensions import override

from facts.program import Sent

#: Seconds after which a command that does not end is given up by the operator; the node goes on.
TIMEOUT = 1800

#: Seconds after which the node itself ends it: more than all its steps may take together.
LONGEST = 4 * 3600

#: What it may take of the node's memory, that of guests aside: they count for themselves. What runs
#: in it is our program and `pct`.
MEMORY = "512M"


class UnitCommand(Sent):
    """A command whose operation goes on by what it printed, without asking the node for that.

    `lines`: of its stdout, once it was executed.
    """

    lines: Sequence[str] = ()

    @override
    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        succeeded, output = super().execute(state, host, connector_arguments)
        self.lines = output.stdout_lines
        return succeeded, output


def unit(
    name: str,
    purpose: str,
    *command: str | QuoteString,
    afterwards: str = "",
    **arguments: Unpack[ConnectorArguments],
) -> UnitCommand:
    """A command as the transient unit `phoenix-harden-NAME`, waited for, its output shown.

    `afterwards`: what the node runs whenever it has ended, of itself or not, as systemd reads it;
    nothing of it is left by then. `arguments`: pyinfra's own, such as `_stdin` for what the command
    reads.
    """
    arguments.setdefault("_timeout", TIMEOUT)
    properties = ["UMask=0077", f"MemoryMax={MEMORY}", f"RuntimeMaxSec={LONGEST}"]
    if afterwards:
        # all at once: nobody waits for a child that does not want to go
        properties += ["KillSignal=SIGKILL", f"TimeoutStopSec={LONGEST}"]
        properties.append(f"ExecStopPost={afterwards}")
    return UnitCommand(
        "systemd-run --wait --pipe --collect --quiet",
        QuoteString(f"--unit=phoenix-harden-{name}"),
        QuoteString(f"--description=phoenix-harden: {purpose}"),
        *(QuoteString(f"--property={one}") for one in properties),
        *command,
        **arguments,
    )
