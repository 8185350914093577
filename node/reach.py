"""Which paths are there, where one of them may be on a share that gives no answer.

Who asks for such a path may never come back, and nothing ends him. So children of ours ask, who can
be left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from node.bounded import MISSING, TIME, Ended, run
from node.root import at

#: How many are asked for at a time, and seconds that each may take.
_SIDE_BY_SIDE, _PATIENCE = 16, 2
_NOT_THERE = ("No such file or directory", "Not a directory")
#: What is said of one that is not there.
GONE = "not there"


def look(paths: Collection[str]) -> dict[str, str]:
    """Of each path "" where it is there, links followed, `GONE`, or why nobody can tell."""
    every = list(dict.fromkeys(paths))
    # mostly all are there: one child for all of them
    if not every or _ask(every).ok:
        return dict.fromkeys(every, "")
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return dict(zip(every, map(_why, pool.map(lambda path: _ask([path]), every))))


def _ask(paths: Sequence[str]) -> Ended:
    argv = ["stat", "-L", "--format=", "--", *map(at, paths)]
    return run(argv, seconds=_PATIENCE)


def _why(ended: Ended) -> str:
    if ended.why == TIME:
        return f"no answer in {_PATIENCE} s"
    if ended.why == MISSING or ended.ok:
        return ended.err.decode("utf-8", "replace") if ended.why else ""
    said = ended.err.decode("utf-8", "replace").strip().rpartition(": ")[2]
    return GONE if said in _NOT_THERE else said or f"stat: exit {ended.code}"
