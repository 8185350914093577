"""Strict JSON reading that remembers where everything stands.

The standard library's reader lets duplicate keys and `NaN` pass and forgets positions.
A fleet file is edited by hand, so duplicates are mistakes to name, and `phoenix adopt` has to
change single values while every other byte stays.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

from phoenix.text.problems import FleetError, Problem, json_path, printable, shown

MAX_BYTES = 4 * 1024 * 1024
"""Largest fleet file that is read, in bytes: about a hundred times the largest known one."""

MAX_DEPTH = 64
"""Deepest nesting that is read; real files have six levels."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_STRINGS = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_MAX_DIGITS = 300  # int() refuses beyond 4300; nothing in a fleet is near either
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z_+-]*[A-Za-z0-9_]*")


@dataclass(frozen=True)
class Node:
    """A JSON value with its place: `text[start:end]` is exactly its source."""

    value: Json
    start: int
    end: int
    items: tuple[Node, ...] = ()
    members: dict[str, Member] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """One `"key": value` of an object; `start` is where the key's opening quote stands."""

    start: int
    node: Node


@dataclass(frozen=True)
class Document:
    """A whole JSON file: its text (without byte order mark), its tree, its duplicate keys."""

    text: str
    root: Node
    problems: tuple[Problem, ...]


def read_document(data: bytes) -> Document:
    """Read JSON as RFC 8259 defines it, in UTF-8 (a byte order mark is passed over).

    Duplicate keys do not stop the reading: the last one counts, as in every common reader, and
    `problems` names the earlier ones. Raises FleetError for anything that is not JSON, is not
    UTF-8, is larger than MAX_BYTES or nested deeper than MAX_DEPTH.
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
    reader = _Reader(text)
    return Document(text, reader.document(), tuple(reader.problems))


def _refusal(value: str, hint: str) -> FleetError:
    return FleetError([Problem("$", value, hint)])


class _Reader:
    """A recursive descent over one text; MAX_DEPTH keeps it off Python's own limit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.path: list[str | int] = []
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node:
        start = self._skip(0)
        if start == len(self.text):
            raise _refusal("", 'the file is empty: write {"lxc_configs": {…}}')
        root = self._value(start)
        end = self._skip(root.end)
        if end != len(self.text):
            raise self._error(end, "nothing may follow the outermost value")
        return root

    def _skip(self, index: int) -> int:
        match = _BLANK.match(self.text, index)
        return match.end() if match else index

    def _value(self, start: int) -> Node:
        if len(self.path) > MAX_DEPTH:
            raise self._error(start, f"nested deeper than {MAX_DEPTH} levels")
        first = self.text[start : start + 1]
        if first == "{":
            return self._object(start)
        if first == "[":
            return self._array(start)
        if first == '"':
            text, end = self._string(start)
            return Node(text, start, end)
        return self._scalar(start)

    def _object(self, start: int) -> Node:
        members: dict[str, Member] = {}
        index = self._skip(start + 1)
        if self.text[index : index + 1] == "}":
            return Node({}, start, index + 1)
        while True:
            if self.text[index : index + 1] != '"':
                raise self._error(index, 'a key in double quotes is expected, as in "name": …')
            key, end = self._string(index)
            colon = self._skip(end)
            if self.text[colon : colon + 1] != ":":
                raise self._error(colon, f"a colon is expected after the key '{printable(key)}'")
            self.path.append(key)
            node = self._value(self._skip(colon + 1))
            if key in members:
                first = self._position(members[key].start)
                again = self._position(index)
                self.problems.append(
                    Problem(
                        json_path(*self.path),
                        shown(members[key].node.value),
                        f"duplicate key ({first} and {again}): keep one of them",
                    )
                )
            self.path.pop()
            members[key] = Member(index, node)
            index = self._skip(node.end)
            if self._closes(index, "}"):
                value: Json = {name: member.node.value for name, member in members.items()}
                return Node(value, start, index + 1, members=members)
            index = self._skip(index + 1)

    def _array(self, start: int) -> Node:
        items: list[Node] = []
        index = self._skip(start + 1)
        if self.text[index : index + 1] == "]":
            return Node([], start, index + 1)
        while True:
            self.path.append(len(items))
            node = self._value(index)
            self.path.pop()
            items.append(node)
            index = self._skip(node.end)
            if self._closes(index, "]"):
                return Node([item.value for item in items], start, index + 1, items=tuple(items))
            index = self._skip(index + 1)

    def _closes(self, index: int, bracket: str) -> bool:
        """Tell `bracket` from a comma that something follows; anything else is an error."""
        char = self.text[index : index + 1]
        if char == bracket:
            return True
        if char != ",":
            raise self._error(index, f"a comma or {bracket} is expected")
        after = self._skip(index + 1)
        if self.text[after : after + 1] == bracket:
            raise self._error(index, f"no comma may stand before {bracket}")
        return False

    def _string(self, start: int) -> tuple[str, int]:
        try:
            text, end = _STRINGS.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            reason = error.msg.removesuffix(" at").lower()
            raise self._error(error.pos, f"{reason} in a string") from None
        return str(text), end

    def _scalar(self, start: int) -> Node:
        match = _NUMBER.match(self.text, start)
        if match:
            digits = match.group()
            if len(digits) > _MAX_DIGITS:
                raise self._error(start, f"a number of {len(digits)} digits")
            whole = match.group(1) is None and match.group(2) is None
            return Node(int(digits) if whole else float(digits), start, match.end())
        word = _WORD.match(self.text, start)
        if word and word.group() in _WORDS:
            return Node(_WORDS[word.group()], start, word.end())
        found = word.group() if word else ""
        if found:
            raise self._error(start, f"'{printable(found)}' is not JSON: a string needs quotes")
        raise self._error(start, "a value is expected")

    def _position(self, index: int) -> str:
        """Say where an index is, as editors count: `line 3, column 5`."""
        line = bisect_right(self.line_starts, index)
        return f"line {line}, column {index - self.line_starts[line - 1] + 1}"

    def _error(self, index: int, hint: str) -> FleetError:
        what = "end of file" if index >= len(self.text) else self._position(index)
        return FleetError([Problem(json_path(*self.path), what, f"not JSON: {hint}")])
