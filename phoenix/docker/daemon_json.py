"""Docker's `/etc/docker/daemon.json`: read strictly, changed in as few bytes as possible.

The file belongs to the user. Two keys are managed, `storage-driver` and
`features.containerd-snapshotter`; every other byte stays: order, indentation, line ends, what
stands behind the last brace.

Packed into the node's program: Python 3.9, the standard library only.

>>> DaemonJson.parse('{"debug": true}').put("storage-driver", "overlay2").text
'{"debug": true, "storage-driver": "overlay2"}'
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phoenix.text.json_document import JsonDocument, JsonError

DRIVER = "storage-driver"
SNAPSHOTTER = "features.containerd-snapshotter"
#: The keys that may be ours, as paths: a dot leads into an object.
MANAGED = (DRIVER, SNAPSHOTTER)


class DaemonJsonError(ValueError):
    """A file that dockerd cannot read, or that cannot be edited; the text says line and column."""


@dataclass(frozen=True)
class DaemonJson:
    """The file's text and its meaning. Blank is no error: dockerd takes it for `{}`."""

    document: JsonDocument

    @classmethod
    def parse(cls, text: str) -> DaemonJson:
        """Read the text. Raises DaemonJsonError where it is no JSON object.

        A byte order mark is skipped as dockerd does (moby, daemon/config
        getConflictFreeConfiguration); keys that are not managed may stand twice, as for it.
        """
        try:
            document = JsonDocument.parse(text)
        except JsonError as error:
            hint = "the file ends too early" if error.at_end else error.hint
            raise DaemonJsonError(f"line {error.line}, column {error.column}: {hint}") from None
        if document.root and not isinstance(document.root.value, dict):
            raise _error(document, document.root.start, "write an object, { ... }")
        for path in map(_parts, MANAGED):
            for one in document.duplicates:
                if one.path == path[: len(one.path)]:
                    text = f'duplicate key "{one.again.key}": remove one of them'
                    raise _error(document, one.again.start, text)
            outer = document.find(*path[:-1]) if path[1:] else None
            if outer and not isinstance(outer.node.value, dict):
                raise _error(document, outer.node.start, f'write an object for "{path[0]}"')
        return cls(document)

    @property
    def text(self) -> str:
        """The whole file."""
        return self.document.text

    def __contains__(self, path: str) -> bool:
        return self.document.find(*_parts(path)) is not None

    def __getitem__(self, path: str) -> Any:
        """The value of a managed key (`storage-driver`), None if it is not there."""
        found = self.document.find(*_parts(path))
        return found.node.value if found else None

    def put(self, path: str, value: str | bool) -> DaemonJson:
        """Set a managed key: only its value changes, or it is added behind the last one."""
        return DaemonJson(self.document.set(_parts(path), value))

    def drop(self, path: str) -> DaemonJson:
        """Remove a managed key, and the object that it leaves empty."""
        return DaemonJson(self.document.drop(_parts(path)))


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _error(document: JsonDocument, at: int, what: str) -> DaemonJsonError:
    line, column = document.position(at)
    return DaemonJsonError(f"line {line}, column {column}: {what}")


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


def first(document: DaemonJson, driver: str) -> DaemonJson:
    """The file with which a Docker starts for the first time, from what is there before it.

    From 29 on Docker takes containerd's image store unless that is switched off, and fails on the
    driver's name alone (moby issue tracker); an older one knows the key or does not look at it.

    >>> first(DaemonJson.parse('{"debug": true}'), "overlay2").text.count("storage-driver")
    1
    """
    if document[DRIVER] != driver:
        document = document.put(DRIVER, driver)
    return document if document[SNAPSHOTTER] is not None else document.put(SNAPSHOTTER, False)


def encode(text: str) -> bytes:
    """The bytes of a text that was read with `surrogateescape`."""
    return text.encode("utf-8", "surrogateescape")


def digest(text: str | None) -> str:
    """The sha256 of the file, `none` where there is none."""
    return "none" if text is None else hashlib.sha256(encode(text)).hexdigest()
