"""How an operation refuses: at once while changes are detected, as a failure when it executes."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import state
from pyinfra.api import OperationValueError, QuoteString, StringCommand


def refuse(problem: str) -> Generator[StringCommand, None, None]:
    """Raise OperationValueError while changes are detected, yield `failure` at execute time."""
    # an exception would end the run on every host then, with no result table
    if not state.is_executing:
        raise OperationValueError(problem)
    yield failure(problem)


def failure(problem: str) -> StringCommand:
    """Make a command that says the problem and fails."""
    return StringCommand("printf '%s\\n'", QuoteString(problem), ">&2; exit 2")
