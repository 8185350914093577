"""What an operator sees of a run, and what it writes for programs."""

from __future__ import annotations

from collections.abc import Iterable
from logging import LogRecord
from pathlib import Path

from pyinfra import logger
from pyinfra.api import DeployError, State
from pyinfra.api.output import echo

from deploys.steps.alive import notice_silence
from operations.diff import tells_all
from phoenix.text.printable import printable


def show(lines: Iterable[str]) -> None:
    """Tell the operator, one printable line each; stdout is for `--json`."""
    for line in lines:
        echo(printable(line, None), err=True)


def write(path: Path, text: str, key: str) -> None:
    """Write a file that `--data KEY=` asks for. Raises DeployError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", "backslashreplace")
    except OSError as error:
        raise DeployError(f"cannot write --data {key}={path}: {error.strerror}") from None
    show([f"written: {path}"])


def show_steps(state: State) -> None:
    """Have pyinfra tell what each step says and takes; what an operator watches.

    A step of one node is none of the others: that pyinfra skips them is told where everything is.
    A node that is gone is told, too, and not waited for.
    """
    notice_silence(state)
    state.print_output = True
    if not tells_all(state):
        logger.addFilter(_is_not_skipped)


def _is_not_skipped(record: LogRecord) -> bool:
    # pyinfra.api.operations, run_host_op
    return "Skipped" not in record.getMessage()
