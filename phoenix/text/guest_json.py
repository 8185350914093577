"""JSON that a guest wrote: within a size and a depth, whatever it holds."""

from __future__ import annotations

import json
import re
from typing import Any

LARGEST = 1024 * 1024
DEEPEST = 64

# a string, one without an end included, or a bracket: each character is looked at once
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|([\[{])|([\]}])', re.DOTALL)


def too_much(text: str) -> str:
    """Why a text of a guest is not even looked at, in words; "" for one that may be JSON."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "is no UTF-8"
    if size > LARGEST:
        return "is larger than 1 MiB"
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += bool(token[1]) - bool(token[2])
        if depth > DEEPEST:
            return f"is nested deeper than {DEEPEST} levels"
    return ""


def read_json(text: str) -> Any:
    """Read a document; of equal keys the last one counts. Raises ValueError, nothing else.

    >>> read_json('{"a": 1, "a": [2]}')
    {'a': [2]}
    """
    if reason := too_much(text):
        raise ValueError(reason)
    return json.loads(text)
