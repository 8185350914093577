"""JSON that belongs to somebody: read strictly, with every position, changed in few bytes.

The standard library's reader lets duplicate keys and `NaN` pass and forgets where things stand. A
file that is kept by hand has its own order, indentation and line ends; every byte that is not to
change stays.

>>> JsonDocument.parse('{"debug": true}').set(("a", "b"), 1).text
'{"debug": true, "a": {"b": 1}}'
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Union

from phoenix.text.printable import printable

MAX_DEPTH = 64
"""Deepest nesting that is read; real files have six levels."""

# as Python 3.9 reads it: this module travels to nodes
Json = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]

_STRINGS = json.JSONDecoder()
_BLANKS = " \t\r\n"
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_MAX_DIGITS = 300  # int() refuses beyond 4300; nothing in such a file is near either
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z_+-]*[A-Za-z0-9_]*")
_NEW_INDENT = "    "


class JsonError(ValueError):
    """A text that is no JSON: `path` to where it was read, `line` and `column` from 1, `hint`.

    `at_end`: the text ends too early.
    """

    def __init__(
        self, path: tuple[str | int, ...], line: int, column: int, hint: str, at_end: bool
    ) -> None:
        self.path, self.line, self.column, self.hint, self.at_end = path, line, column, hint, at_end
        super().__init__(f"line {line}, column {column}: {hint}")


@dataclass(frozen=True)
class Node:
    """A JSON value with its place: `text[start:end]` is exactly its source.

    `items`: those of a list; `pairs`: those of an object in their order, duplicates too.
    """

    value: Json
    start: int
    end: int
    items: tuple[Node, ...] = ()
    pairs: tuple[Member, ...] = ()

    @cached_property
    def members(self) -> dict[str, Member]:
        """Those of an object by key; of equal keys the last one counts, as in every reader."""
        return {member.key: member for member in self.pairs}


@dataclass(frozen=True)
class Member:
    """One `"key": value` of an object; `start`, `key_end`: around the key with its quotes."""

    key: str
    start: int
    key_end: int
    node: Node


@dataclass(frozen=True)
class Duplicate:
    """A key that stands in its object before: the path to it, and both places."""

    path: tuple[str | int, ...]
    first: Member
    again: Member


@dataclass(frozen=True)
class Edit:
    """What stands between two places is replaced by a text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class JsonDocument:
    """A text and its meaning; `root`: None for a blank one. A byte order mark is passed over."""

    text: str
    root: Node | None = field(compare=False)
    duplicates: tuple[Duplicate, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str) -> JsonDocument:
        """Read JSON as RFC 8259 defines it, MAX_DEPTH deep at most; blank is nothing.

        Duplicate keys do not stop the reading. Raises JsonError.
        """
        reader = _Reader(text)
        return cls(text, reader.document(), tuple(reader.duplicates))

    def find(self, *path: str) -> Member | None:
        """The member at the end of a path of keys, None where it is not there."""
        node, found = self.root, None
        for key in path:
            found = node.members.get(key) if node else None
            node = found.node if found else None
        return found

    def set(self, path: tuple[str, ...], value: Json) -> JsonDocument:
        """Set a value: only that changes, or a member is added behind the last, laid out as it is.

        What of the path is not there is made; a value on the way that is no object gives way.
        """
        if found := self.find(*path):
            return self._with(Edit(found.node.start, found.node.end, json.dumps(value)))
        depth = max(n for n in range(len(path)) if n == 0 or self._object(path[:n]))
        missing: Any = value
        for key in reversed(path[depth + 1 :]):
            missing = {key: missing}
        within = self._object(path[:depth])
        if within is None:
            mark = "\ufeff" if self.text.startswith("\ufeff") else ""
            text = f"{mark}{{\n{_NEW_INDENT}{_pair(path[0], missing)}\n}}\n"
            return JsonDocument.parse(text)
        if odd := within.members.get(path[depth]):
            return self._with(Edit(odd.node.start, odd.node.end, json.dumps(missing)))
        return self._with(self._added(within, path[depth], missing, nested=depth > 0))

    def drop(self, path: tuple[str, ...]) -> JsonDocument:
        """Remove a member, and each object that it leaves empty but for the outermost."""
        if self.find(*path) is None:
            return self
        while len(path) > 1 and len(self._object(path[:-1]).pairs) == 1:  # type: ignore[union-attr]
            path = path[:-1]
        within = self._object(path[:-1])
        assert within
        return self._with(without_member(within, path[-1]))

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with edits that do not overlap."""
        parts: list[str] = []
        done = 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            parts += [self.text[done : edit.start], edit.text]
            done = edit.end
        return "".join([*parts, self.text[done:]])

    def position(self, index: int) -> tuple[int, int]:
        """Line and column of an index, from 1, as editors count."""
        line = bisect_right(self._line_starts, index)
        return line, index - self._line_starts[line - 1] + 1

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def _object(self, path: tuple[str, ...]) -> Node | None:
        """The object at the end of a path, None where there is none."""
        found = self.find(*path) if path else None
        node = found.node if found else None if path else self.root
        return node if node and isinstance(node.value, dict) else None

    def _with(self, edit: Edit) -> JsonDocument:
        return JsonDocument.parse(self.edited([edit]))

    def _added(self, to: Node, key: str, value: Json, nested: bool) -> Edit:
        if not to.pairs:
            line = "\r\n" if "\r\n" in self.text else "\n"
            pair = _pair(key, value)
            inner = pair if nested else f"{line}{_NEW_INDENT}{pair}{line}"
            return Edit(to.start + 1, to.end - 1, inner)
        last = to.pairs[-1]
        colon = self.text[last.key_end : last.node.start]
        before = to.pairs[-2].node.end if len(to.pairs) > 1 else to.start
        lead = self.text[before : last.start].lstrip(_BLANKS)[1:]
        if not lead and colon != ":":
            lead = " "
        return Edit(last.node.end, last.node.end, f",{lead}{_pair(key, value, colon)}")


def without_member(within: Node, key: str) -> Edit:
    """Remove a member of an object that has it, with the comma and the blanks that belong to it."""
    pairs = within.pairs
    index = max(n for n, member in enumerate(pairs) if member.key == key)
    if len(pairs) == 1:
        return Edit(within.start + 1, within.end - 1, "")
    if index == 0:
        return Edit(pairs[0].start, pairs[1].start, "")
    return Edit(pairs[index - 1].node.end, pairs[index].node.end, "")


def _pair(key: str, value: Json, colon: str = ": ") -> str:
    separators = (", ", ":") if colon == ":" else (", ", ": ")
    return f"{json.dumps(key)}{colon}{json.dumps(value, separators=separators)}"


class _Reader:
    """A recursive descent over one text; MAX_DEPTH keeps it off Python's own limit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.duplicates: list[Duplicate] = []
        self.path: list[str | int] = []

    def document(self) -> Node | None:
        start = self._skip(1 if self.text.startswith("\ufeff") else 0)
        if start == len(self.text):
            return None
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
        pairs: list[Member] = []
        seen: dict[str, Member] = {}
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
            member = Member(key, index, end, self._value(self._skip(colon + 1)))
            if key in seen:
                self.duplicates.append(Duplicate(tuple(self.path), seen[key], member))
            self.path.pop()
            seen[key] = member
            pairs.append(member)
            index = self._skip(member.node.end)
            if self._closes(index, "}"):
                value: Json = {name: one.node.value for name, one in seen.items()}
                return Node(value, start, index + 1, pairs=tuple(pairs))
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
            raise self._error(index, f"trailing comma before {bracket}")
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

    def _error(self, index: int, hint: str) -> JsonError:
        if self.text[index : index + 2] in ("//", "/*") or self.text[index : index + 1] == "#":
            hint = "JSON has no comments"
        line = self.text.count("\n", 0, index) + 1
        column = index - self.text.rfind("\n", 0, index)
        return JsonError(tuple(self.path), line, column, hint, index >= len(self.text))
