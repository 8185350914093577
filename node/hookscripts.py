"""The scripts that confs have run on the node at a start: what they hold, as far as it is short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from node import containers
from node.backups import StorageError, folder, storages
from node.bounded import TIME, run
from node.files import text
from node.root import at
from phoenix.apparmor.observed import HOOK
from phoenix.pve.hooks import hook_lines, program

#: How much of a script is read, in bytes; how many of them, and for how many seconds each: its
#: storage may be a share that does not answer.
_LIMIT, _MOST, _PATIENCE = 64 * 1024, 50, 10

#: Without one of these in it a conf names no script.
_HOLDING = re.compile(rb"hookscript|lxc\.hook\.")

# pve-storage Plugin.pm parse_volname
_VOLUME = re.compile(r"([a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]):snippets/([^/]+)")


def observe() -> dict[str, dict[str, Any]]:
    """By its name in a conf each script that this node's containers name, ours aside.

    `{"local:snippets/a.sh": {"path": "/var/lib/vz/snippets/a.sh", "text": "#!/bin/sh...", "why":
    ""}}`; `text`: null where it cannot be read, and `why` says why; also where it is not whole.
    """
    names = sorted(set(_names()))
    found = {name: _script(name) for name in names[:_MOST]}
    left = f"more than {_MOST} scripts are named on this node: not read"
    return {**found, **{name: _answer("", why=left) for name in names[_MOST:]}}


def _names() -> Iterator[str]:
    for conf in containers.confs(_HOLDING):
        if script := conf.main["hookscript"]:
            yield script
        found = (program(value) for _, value in hook_lines(conf.main, HOOK))
        yield from (one for one in found if one.startswith("/"))


def _script(name: str) -> dict[str, Any]:
    try:
        path = name if name.startswith("/") else _path(name)
    except StorageError as why:
        return _answer("", why=f"storage: {why}")
    if path is None:
        return _answer("", why="its storage has no folder of scripts on this node")
    ended = run(["head", "-c", f"{_LIMIT + 1}", "--", at(path)], seconds=_PATIENCE)
    if ended.why == TIME:
        return _answer(path, why=f"no answer in {_PATIENCE} s")
    if not ended.ok:
        gone = ended.err.rstrip().endswith(b": No such file or directory")
        return _answer(path, why="not there" if gone else "cannot be read")
    long = len(ended.out) > _LIMIT
    return _answer(path, text(ended.out[:_LIMIT]), "longer than 64 KiB" if long else "")


def _path(volume: str) -> str | None:
    """Where a volume of snippets is on this node. Raises StorageError."""
    found = _VOLUME.fullmatch(volume)
    if found is None or found[2] in (".", ".."):
        return None
    storage = storages().get(found[1])
    there = storage and folder(found[1], storage, "snippets", "snippets")
    return f"{there}/{found[2]}" if there else None


def _answer(path: str, said: str | None = None, why: str = "") -> dict[str, Any]:
    return {"path": path, "text": said, "why": why}
