"""What is sent to another node of a run than the one whose turn it is.

A container that has moved since it was planned keeps its turn, and so its place among those that it
depends on or is kept apart from; what is done in it is done where it now is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, cast

from pyinfra.api import Host, State, StringCommand
from pyinfra.api.arguments import (
    CONNECTOR_ARGUMENT_KEYS,
    ConnectorArguments,
    pop_global_arguments,
)
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import ctx_host
from typing_extensions import override

from facts.program import Sent
from phoenix.docker.observed import ObservedDocker
from phoenix.plan.actions import ContainerChange


@dataclass(frozen=True)
class There:
    """A container that was planned anew on the node where it now is.

    `docker`: its own, as seen; `undoes`: the run that is rolled back, "" for none.
    """

    node: Host
    change: ContainerChange
    docker: ObservedDocker | None = None
    undoes: str = ""

    def send(self, commands: Iterable[StringCommand]) -> Iterator[StringCommand]:
        """The same commands, for that node."""
        return (_SentThere(one, self.node) for one in commands)


#: Plans a container anew; None: there is nothing to do, or something stands against it.
Again: TypeAlias = Callable[[int], ContainerChange | There | None]


class _SentThere(Sent):
    """A command that another node is given, as one of its own would be."""

    def __init__(self, command: StringCommand, node: Host) -> None:
        super().__init__(*command.bits, **command.connector_arguments)
        self._node = node

    @override
    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        given, _ = pop_global_arguments(state, self._node, {})
        its = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}
        with ctx_host.use(self._node):
            return super().execute(state, self._node, cast(ConnectorArguments, its))
