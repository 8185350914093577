"""What Docker and podman call their containers, asked of the guests beside everything else."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from node import guest, outside
from node.dockers import patience

#: So many names are known at most; one that a guest did not tell is asked for again after so many
#: seconds.
_MOST, _PAUSE = 1000, 60

#: How long a guest may take for one, in seconds.
_PATIENCE = 5.0

# as Docker allows them (daemon/names), after the slash that `inspect` puts in front
_NAME = re.compile(rb"/?([a-zA-Z0-9][a-zA-Z0-9_.-]{0,79})\s*")


class EngineNames:
    """The names by container and id; nobody waits for a guest.

    One guest is asked at a time, each for one name. Used as a context: at its end, what is being
    asked comes to its own.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._names: OrderedDict[tuple[int, str], str] = OrderedDict()
        self._asked: dict[int, tuple[str, Future[str]]] = {}
        self._pause_until: dict[int, float] = {}

    def __enter__(self) -> EngineNames:
        return self

    def __exit__(self, *_: object) -> None:
        for asked in self._asked.values():
            asked[1].cancel()
        self._pool.shutdown()

    def name(self, ctid: int, engine_id: str) -> str:
        """What it is called, "" as long as that is not known."""
        self._take(ctid)
        name = self._names.get((ctid, engine_id), "")
        if not name and ctid not in self._asked and self._may_ask(ctid):
            self._asked[ctid] = engine_id, self._pool.submit(_ask, ctid, engine_id)
        return name

    def _may_ask(self, ctid: int) -> bool:
        return time.monotonic() >= self._pause_until.get(ctid, 0)

    def _take(self, ctid: int) -> None:
        if ctid not in self._asked or not self._asked[ctid][1].done():
            return
        engine_id, answer = self._asked.pop(ctid)
        if name := answer.result():
            self._names[ctid, engine_id] = name
            if len(self._names) > _MOST:
                self._names.popitem(last=False)
        else:
            self._pause_until[ctid] = time.monotonic() + _PAUSE


def _ask(ctid: int, engine_id: str) -> str:
    if outside.applies(ctid):
        return ""
    for engine in ("docker", "podman"):
        words = [engine, "inspect", "--type", "container", "--format", "{{.Name}}", engine_id]
        ended = guest.attach(ctid, words, seconds=min(_PATIENCE, patience()), limit=4096)
        if ended.ok and (found := _NAME.fullmatch(ended.out)):
            return found[1].decode("ascii")
        if ended.why:
            break
    return ""
