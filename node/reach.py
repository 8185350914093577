"""Which paths are there, where one of them may be on a share that gives no answer.

Who asks for such a path may never come back, and nothing ends him. So children of ours ask, who can
be left behind.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from node.beside import beside
from node.bounded import MIB, MISSING, TIME, Ended, run
from node.root import at

#: How many are asked for at a time, and seconds that each may take.
_SIDE_BY_SIDE, _PATIENCE = 16, 2
#: How many one child asks for: a command's arguments have a limit (execve(2)).
_TOGETHER = 1000
_NOT_THERE = ("No such file or directory", "Not a directory")
#: What is said of one that is not there.
GONE = "not there"


def look(paths: Collection[str]) -> dict[str, str]:
    """Of each path "" where it is there, links followed, `GONE`, or why nobody can tell."""
    every = list(dict.fromkeys(paths))
    found: dict[str, str] = {}
    for begin in range(0, len(every), _TOGETHER):
        found.update(_look(every[begin : begin + _TOGETHER]))
    return found


def _look(paths: Sequence[str]) -> dict[str, str]:
    ended = _ask(paths)
    there = {*ended.out.split(b"\0")}
    found = {path: "" for path in paths if os.fsencode(at(path)) in there}
    others = [path for path in paths if path not in found]
    # one line for each, in their order: stat(1) escapes line ends in names
    said = ended.err.decode("utf-8", "replace").splitlines()
    if not ended.why and len(said) == len(others):
        return {**found, **dict(zip(others, map(_reason, said)))}
    return {**found, **beside(lambda path: _why(_ask([path])), others, _SIDE_BY_SIDE)}


def _ask(paths: Sequence[str]) -> Ended:
    argv = ["stat", "-L", "--printf=%n\\0", "--", *map(at, paths)]
    return run(argv, seconds=_PATIENCE, limit=8 * MIB)


def _why(ended: Ended) -> str:
    if ended.why == TIME:
        return f"no answer in {_PATIENCE} s"
    if ended.why == MISSING or ended.ok:
        return ended.err.decode("utf-8", "replace") if ended.why else ""
    said = ended.err.decode("utf-8", "replace").strip()
    return _reason(said) if said else f"stat: exit {ended.code}"


def _reason(said: str) -> str:
    why = said.rpartition(": ")[2]
    return GONE if why in _NOT_THERE else why
