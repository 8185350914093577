"""Docker's `/etc/docker/daemon.json`: read strictly, changed in as few bytes as possible.

The file belongs to the user. Two keys are managed, `storage-driver` and
`features.containerd-snapshotter`; every other byte stays: order, indentation, line ends, what
stands behind the last brace.

>>> DaemonJson.parse('{"debug": true}').put("storage-driver", "overlay2").text
'{"debug": true, "storage-driver": "overlay2"}'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DRIVER = "storage-driver"
SNAPSHOTTER = "features.containerd-snapshotter"
#: The keys that may be ours, as paths: a dot leads into an object.
MANAGED = (DRIVER, SNAPSHOTTER)

_BLANKS = " \t\r\n"
_NEW_INDENT = "    "


class DaemonJsonError(ValueError):
    """A file that dockerd cannot read, or that cannot be edited; the text says line and column."""


@dataclass(frozen=True)
class _Member:
    """One `"key": value`; offsets into the text."""

    key: str
    start: int
    key_end: int
    value_start: int
    end: int
    value: Any


@dataclass(frozen=True)
class _Object:
    """An object between its braces, which stand at `open` and `close`."""

    open: int
    close: int
    members: tuple[_Member, ...]


@dataclass(frozen=True)
class DaemonJson:
    """The text of the file and its meaning. Blank is no error: dockerd takes it for `{}`."""

    text: str
    _root: _Object | None = field(repr=False, compare=False, default=None)

    @classmethod
    def parse(cls, text: str) -> DaemonJson:
        """Read the text. Raises DaemonJsonError where it is no JSON object."""
        # dockerd skips a byte order mark (moby, daemon/config getConflictFreeConfiguration)
        start = _skip(text, 1 if text.startswith("\ufeff") else 0)
        if start == len(text):
            return cls(text)
        if text[start] != "{":
            raise _error("write an object, { ... }", text, start)
        try:
            root = _object(text, start)
        except RecursionError:
            raise _error("nested too deep", text, start) from None
        rest = _skip(text, root.close + 1)
        if rest < len(text):
            raise _error("nothing may follow the last brace", text, rest)
        document = cls(text, root)
        for path in MANAGED:
            document._find(path)  # raises for a duplicate, or in no object
        return document

    def __contains__(self, path: str) -> bool:
        return self._find(path) is not None

    def __getitem__(self, path: str) -> Any:
        """The value of a managed key (`storage-driver`), None if it is not there."""
        found = self._find(path)
        return found.value if found else None

    def put(self, path: str, value: str | bool) -> DaemonJson:
        """Set a managed key: only its value changes, or it is added behind the last one."""
        found = self._find(path)
        if found:
            return self._replaced(found.value_start, found.end, json.dumps(value))
        head, _, tail = path.partition(".")
        inner: Any = {tail: value} if tail else value
        if self._root is None:
            mark = "\ufeff" if self.text.startswith("\ufeff") else ""
            return DaemonJson.parse(f"{mark}{{\n{_NEW_INDENT}{_pair(head, inner)}\n}}\n")
        outer = next((one for one in self._root.members if one.key == head), None)
        if tail and outer:
            return self._added(_object(self.text, outer.value_start), tail, value, nested=True)
        return self._added(self._root, head, inner)

    def drop(self, path: str) -> DaemonJson:
        """Remove a managed key, and the object that it leaves empty."""
        head, _, tail = path.partition(".")
        if self._root is None or path not in self:
            return self
        if not tail:
            return self._without(self._root, head)
        outer = next(one for one in self._root.members if one.key == head)
        if len(outer.value) == 1:
            return self._without(self._root, head)
        return self._without(_object(self.text, outer.value_start), tail)

    def _find(self, path: str) -> _Member | None:
        head, _, tail = path.partition(".")
        found = self._one(self._root, head)
        if not tail or found is None:
            return found
        if not isinstance(found.value, dict):
            raise _error(f'write an object for "{head}"', self.text, found.value_start)
        return self._one(_object(self.text, found.value_start), tail)

    def _one(self, where: _Object | None, key: str) -> _Member | None:
        same = [one for one in where.members if one.key == key] if where else []
        if len(same) > 1:
            raise _error(f'duplicate key "{key}": remove one of them', self.text, same[1].start)
        return same[0] if same else None

    def _added(self, to: _Object, key: str, value: Any, nested: bool = False) -> DaemonJson:
        if not to.members:
            line = "\r\n" if "\r\n" in self.text else "\n"
            pair = _pair(key, value)
            inner = pair if nested else f"{line}{_NEW_INDENT}{pair}{line}"
            return self._replaced(to.open + 1, to.close, inner)
        last = to.members[-1]
        colon = self.text[last.key_end : last.value_start]
        before = to.members[-2].end if len(to.members) > 1 else to.open
        lead = self.text[before : last.start].lstrip(_BLANKS)[1:]
        if not lead and colon != ":":
            lead = " "
        return self._replaced(last.end, last.end, f",{lead}{_pair(key, value, colon)}")

    def _without(self, where: _Object, key: str) -> DaemonJson:
        keys = [one.key for one in where.members]
        index = keys.index(key)
        if len(keys) == 1:
            return self._replaced(where.open + 1, where.close, "")
        if index == 0:
            return self._replaced(where.members[0].start, where.members[1].start, "")
        return self._replaced(where.members[index - 1].end, where.members[index].end, "")

    def _replaced(self, start: int, end: int, new: str) -> DaemonJson:
        return DaemonJson.parse(self.text[:start] + new + self.text[end:])


@dataclass(frozen=True)
class DaemonMerge:
    """The text as it shall be (None: no file), and which managed keys are ours then."""

    text: str | None
    managed: Mapping[str, str | bool]


def held(text: str | None, managed: Mapping[str, str | bool]) -> dict[str, str | bool | None]:
    """The managed keys as they are to be held where nothing changes: ours, as we wrote them.

    None for the others, and where somebody has changed it since. Raises DaemonJsonError.
    """
    document = DaemonJson.parse(text or "")
    return {
        path: mine if document[path] == (mine := managed.get(path)) else None for path in MANAGED
    }


def merge(
    text: str | None, wanted: Mapping[str, str | bool | None], managed: Mapping[str, str | bool]
) -> DaemonMerge:
    """Three-way: what is wanted, what is there, what our runs have written (`managed`).

    `wanted` names each managed key, so that changing one can never lose another: a value wins;
    None takes it back if it is still the one that we wrote. Ours is only what a run *added*. Raises
    DaemonJsonError for a text that is no JSON, ValueError where a key is not named.
    """
    if missing := {*MANAGED} ^ {*wanted}:
        raise ValueError(f"not exactly the managed keys: {', '.join(sorted(missing))}")
    document = DaemonJson.parse(text or "")
    kept: dict[str, str | bool] = {}
    for path in MANAGED:
        there, mine, value = document[path], managed.get(path), wanted[path]
        if value is not None:
            if path not in document or (mine is not None and there == mine):
                kept[path] = value
            if path not in document or there != value:
                document = document.put(path, value)
        elif mine is not None and path in document and there == mine:
            document = document.drop(path)
    return DaemonMerge(text if document.text == (text or "") else document.text, kept)


def encode(text: str) -> bytes:
    """The bytes of a text that was read with `surrogateescape`."""
    return text.encode("utf-8", "surrogateescape")


def digest(text: str | None) -> str:
    """The sha256 of the file, `none` where there is none."""
    return "none" if text is None else hashlib.sha256(encode(text)).hexdigest()


def _pair(key: str, value: Any, colon: str = ": ") -> str:
    separators = (", ", ":") if colon == ":" else (", ", ": ")
    return f"{json.dumps(key)}{colon}{json.dumps(value, separators=separators)}"


def _object(text: str, at: int) -> _Object:
    """Read the object whose brace stands at an offset."""
    members: list[_Member] = []
    position = _skip(text, at + 1)
    if text[position : position + 1] == "}":
        return _Object(at, position, ())
    while True:
        start = position
        if text[start : start + 1] != '"':
            raise _error('a key in double quotes, "...", is expected', text, start)
        key, key_end = _scan(text, start)
        colon = _skip(text, key_end)
        if text[colon : colon + 1] != ":":
            raise _error("a colon is expected", text, colon)
        value_start = _skip(text, colon + 1)
        value, end = _scan(text, value_start)
        members.append(_Member(key, start, key_end, value_start, end, value))
        position = _skip(text, end)
        sign = text[position : position + 1]
        if sign == "}":
            return _Object(at, position, tuple(members))
        if sign != ",":
            raise _error("a comma or the closing brace is expected", text, position)
        comma = position
        position = _skip(text, position + 1)
        if text[position : position + 1] == "}":
            raise _error("trailing comma", text, comma)


def _scan(text: str, at: int) -> tuple[Any, int]:
    """Read one value of any kind: it and the offset behind it."""
    try:
        return _DECODER.raw_decode(text, at)
    except _ConstantError as error:
        name = str(error)
        raise _error(f"{name} is no JSON", text, text.find(name, at)) from None
    except json.JSONDecodeError as error:
        said = "a value is expected" if error.msg == "Expecting value" else error.msg.lower()
        raise _error(said.removesuffix(" at"), text, error.pos) from None


class _ConstantError(Exception):
    """NaN or an infinity, which Python reads and nobody else."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


# numbers of any length: their text is kept, their value never asked for
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _error(what: str, text: str, at: int) -> DaemonJsonError:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    if text[at : at + 2] in ("//", "/*") or text[at : at + 1] == "#":
        what = "JSON has no comments"
    elif at >= len(text):
        what = "the file ends too early"
    return DaemonJsonError(f"line {line}, column {column}: {what}")
