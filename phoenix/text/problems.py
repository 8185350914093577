"""What is wrong with a fleet file: one line per mistake, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from phoenix.text.printable import printable

__all__ = ["FleetError", "Problem", "json_path", "printable", "shown"]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_$-]+")


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what stands there, and what would be right.

    `path` is a JSON path as in `lxc_configs.910.pct_options[1]` (`$` is the whole file),
    `value` the offending text as the file has it, made printable and cut to a sane length
    (empty when something is missing), `hint` says what to write instead.
    """

    path: str
    value: str
    hint: str

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.value}: {self.hint}" if self.value else f"{self.path}: {self.hint}"
        )


class FleetError(ValueError):
    """The fleet file cannot be used; `problems` holds every reason.

    `str()` gives one line per problem. It is the only exception that reading a fleet raises.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def json_path(*parts: str | int) -> str:
    """Write the way to a value: `json_path("lxc_configs", "910", "pct_options", 1)`.

    Keys that are not plain words are quoted (`lxc_configs["9 10"]`); no parts is the root, `$`.
    """
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f'["{printable(part)}"]'
    return path or "$"


def shown(value: object) -> str:
    """Show a JSON value in a problem: strings in quotes, the rest as JSON writes it."""
    if isinstance(value, str):
        return f"'{printable(value)}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        return "[…]" if value else "[]"
    return printable(str(value))
