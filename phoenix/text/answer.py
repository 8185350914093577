"""The answer of the node's program on a screen full of other things."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def read_answer(output: Sequence[str]) -> dict[str, Any]:
    """The answer of `node.observe`: one line, whatever a login shell prints before it.

    Raises ValueError where there is none; its text is for people.
    """
    line = next((line for line in reversed(output) if line.startswith("{")), "")
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ValueError("the node's answer did not arrive whole: run again")
    return answer
