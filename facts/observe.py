"""What a node says of itself, in one command."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pyinfra.api import FactBase, Host, StringCommand
from pyinfra.api.exceptions import FactProcessError
from typing_extensions import override

from facts.program import Asked, asking, observing
from phoenix.text import answer
from phoenix.text.printable import printable

T = TypeVar("T")


class Observe(FactBase[Mapping[str, Any]]):
    """All that a node is asked, in one command: the sections of `node.observe`.

    `{"containers": {}, "storage": {"paths": ["/dev/nvidia0"]}}` is answered with

    ```
    {"containers": {"node": "pve1", "containers": {"910": {"conf": "arch: amd64\\n", ...}}, ...},
     "storage": {"paths": ["/dev/nvidia0"], "datasets": {}, "silent": {}}}
    ```

    in one line, which becomes what it says; `phoenix.plan.facts` reads its sections. A fleet file
    names more than a command has room for, so the request comes on stdin: `ask_node` sees to that.
    """

    @override
    def command(self, asked: Asked) -> StringCommand:
        """Ask once; `asked` has to be given as `_stdin`, too."""
        return observing(asked)

    @staticmethod
    @override
    def default() -> Mapping[str, Any]:
        return {}

    @override
    def process(self, output: list[str]) -> Mapping[str, Any]:
        return read_answer(output)


def ask_node(host: Host, request: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a node says to a request; see `Observe`. Nothing where it does not answer.

    While operations run that is the failure of the one that asks, and the node stays in the run.
    """
    asked = Asked(request)
    try:
        said: Mapping[str, Any] = host.get_fact(
            Observe, asked=asked, _stdin=asked, _ignore_errors=host.state.is_executing
        )
        return said
    except EOFError:
        # paramiko's, as a connection ends
        return {}


class Observed(FactBase[T]):
    """A fact that is one section of a node's answer, read by a function of `phoenix`."""

    section: ClassVar[str]

    @staticmethod
    @abstractmethod
    def read(data: Any) -> T:
        """Read the section."""

    @override
    def process(self, output: list[str]) -> T:
        said = read_answer(output)
        try:
            return self.read(said[self.section])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FactProcessError(_odd(self.section, error)) from None


class ObservedWhole(Observed[T]):
    """One that is asked without arguments."""

    @override
    def command(self) -> StringCommand:
        """Ask for all of it at once."""
        return asking({self.section: {}})


def read_answer(output: list[str]) -> dict[str, Any]:
    """The answer of `node.observe`: one line, whatever a login shell prints before it.

    Raises FactProcessError where there is none.
    """
    try:
        return answer.read_answer(output)
    except ValueError as error:
        raise FactProcessError(str(error)) from None


def _odd(section: str, error: Exception) -> str:
    said = printable(f"{type(error).__name__} {error}", 200)
    return f"the node's answer is not understood, {section}: {said}"
