"""`phoenix denials --follow`: a thread for each node, one place that tells.

A line to a node that breaks is made again, later each time; the node is told what was seen last,
so that nothing is lost and nothing told twice.
"""

from __future__ import annotations

import json
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phoenix.cli.nodes import Node, NodeError
from phoenix.pve.observed import containers_from_json
from phoenix.report.follow import Follow, Told

INTERRUPTED, BROKEN_PIPE, FAILED = 130, 141, 1
#: Seconds: without a word a line is dead (the node says something every 5); between two tries.
_SILENCE, _FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 1.0, 60.0
#: So many events wait at most: then the node has to.
_WAITING = 1000

#: What becomes of something that a node's thread has to say.
_Tell = Callable[[Follow], Iterable[Told]]


@dataclass
class _Line:
    """The line to one node. `after`: time and serial number of what was seen last."""

    node: Node
    only: Sequence[int]
    after: list[float] | None
    tell: Callable[[_Tell], None]
    stop: threading.Event
    pause: float = _FIRST_PAUSE

    def keep(self) -> None:
        """Follow the node until `stop` is set, whatever becomes of the line."""
        while not self.stop.is_set():
            try:
                self._follow()
                why = f"{self.node.name} has ended the connection"
            except NodeError as error:
                why = str(error)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                why = f"its answer is not understood: {type(error).__name__} {error}"
            self._lost(why.removeprefix(f"{self.node.name}: "))
            self.stop.wait(self.pause)
            self.pause = min(self.pause * 2, _LONGEST_PAUSE)

    def _lost(self, why: str) -> None:
        self.tell(lambda follow: follow.lost(why, time.monotonic()))

    def _follow(self) -> None:
        """One connection, to its end."""
        pct = containers_from_json(self.node.ask({"containers": {}})["containers"])
        names = {ctid: one.conf.hostname or "" for ctid, one in pct.containers.items()}
        goes_on, heard = self.after is not None, time.monotonic()
        request = {"only": [*self.only], "after": self.after}
        with self.node.stream("follow", request) as lines:
            self.tell(lambda follow: follow.connected(pct.node, names, goes_on, time.monotonic()))
            for line in lines:
                if self.stop.is_set():
                    return
                if line:
                    heard = time.monotonic()
                    self._read(line)
                elif time.monotonic() - heard > _SILENCE:
                    raise NodeError(f"nothing was heard for {_SILENCE:.0f} s")

    def _read(self, line: str) -> None:
        """One line of the node; what a login shell prints is none of its events."""
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        self.pause = _FIRST_PAUSE
        self.tell(lambda follow: follow.take(event, time.monotonic()))
        if isinstance(event.get("serial"), int) and isinstance(event.get("at"), int | float):
            self.after = [event["at"], event["serial"]]


def follow(
    nodes: Sequence[Node], only: Sequence[int], since: float | None, *, as_json: bool
) -> int:
    """Tell what is denied as it happens, until Ctrl-C, which ends with a summary; the exit status.

    `since`: seconds since the epoch from which on what the logs have comes first; None: from now.
    """
    begin = time.time() if since is None else since
    after = None if since is None else [since, 0]
    follows = {node.name: Follow(node.name, begin, only) for node in nodes}
    inbox: queue.Queue[tuple[str, _Tell]] = queue.Queue(_WAITING)
    stop = threading.Event()
    try:
        for node in nodes:
            line = _Line(node, only, after, _putter(inbox, node.name), stop)
            # a daemon: nobody waits for one that waits for its node
            threading.Thread(target=line.keep, daemon=True).start()
        return _tell_all(inbox, follows, as_json)
    except KeyboardInterrupt:
        stop.set()
        _summary([*follows.values()], as_json)
        return INTERRUPTED
    finally:
        stop.set()


def _putter(inbox: queue.Queue[tuple[str, _Tell]], name: str) -> Callable[[_Tell], None]:
    return lambda tell: inbox.put((name, tell))


def _tell_all(
    inbox: queue.Queue[tuple[str, _Tell]], follows: Mapping[str, Follow], as_json: bool
) -> int:
    """Tell what comes, until nobody reads any more."""
    while True:
        try:
            name, tell = inbox.get(timeout=1)
        except queue.Empty:
            if _reader_is_gone():
                return BROKEN_PIPE
            continue
        for told in tell(follows[name]):
            _print(told, as_json)


def _print(told: Told, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told.data), flush=True)
    else:
        # what is piped on are denials alone
        print(told.text, file=sys.stderr if told.aside else sys.stdout, flush=True)


def _summary(follows: Sequence[Follow], as_json: bool) -> None:
    if as_json:
        data: dict[str, Any] = {
            "event": "summary",
            "nodes": [one.summary_data() for one in follows],
        }
        print(json.dumps(data), flush=True)
        return
    print()
    for one in follows:
        for line in one.summary():
            print(line)


def _reader_is_gone() -> bool:
    """Whether stdout is a pipe that nobody reads: without a denial nothing is written to it."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # no file at all, as in tests
        return False
    return any(what & select.POLLERR for _, what in poll.poll(0))
