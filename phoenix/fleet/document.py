"""The text of a fleet file as a JSON document, its mistakes as problems with their paths."""

from __future__ import annotations

from dataclasses import dataclass

from phoenix.text.json_document import Duplicate, JsonDocument, JsonError, Node
from phoenix.text.problems import FleetError, Problem, json_path, shown

MAX_BYTES = 4 * 1024 * 1024
"""Largest fleet file that is read, in bytes: about a hundred times the largest known one."""


@dataclass(frozen=True)
class FleetDocument:
    """The document (its text without byte order mark), its root, and its duplicate keys."""

    document: JsonDocument
    root: Node
    problems: tuple[Problem, ...]


def read_document(data: bytes) -> FleetDocument:
    """Read a fleet file in UTF-8 (a byte order mark is passed over).

    Duplicate keys do not stop the reading: the last one counts, and `problems` names the earlier
    ones. Raises FleetError for anything that is not JSON, is not UTF-8, is larger than MAX_BYTES or
    nested deeper than `phoenix.text.json_document.MAX_DEPTH`.
    """
    if len(data) > MAX_BYTES:
        raise _refusal("", f"is larger than {MAX_BYTES} bytes, which no fleet file is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(
            f"byte 0x{data[error.start]:02x} in line {line}",
            "not UTF-8: save the file as UTF-8 text",
        ) from None
    try:
        document = JsonDocument.parse(text)
    except JsonError as error:
        where = f"line {error.line}, column {error.column}"
        what = "end of file" if error.at_end else where
        hint = f"not JSON: {error.hint}"
        raise FleetError([Problem(json_path(*error.path), what, hint)]) from None
    if document.root is None:
        raise _refusal("", 'the file is empty: write {"lxc_configs": {…}}')
    problems = tuple(_duplicate(document, one) for one in document.duplicates)
    return FleetDocument(document, document.root, problems)


def _duplicate(document: JsonDocument, one: Duplicate) -> Problem:
    places = [
        "line {}, column {}".format(*document.position(member.start))
        for member in (one.first, one.again)
    ]
    hint = f"duplicate key ({' and '.join(places)}): keep one of them"
    return Problem(json_path(*one.path), shown(one.first.node.value), hint)


def _refusal(value: str, hint: str) -> FleetError:
    return FleetError([Problem("$", value, hint)])
