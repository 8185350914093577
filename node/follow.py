"""follow - what AppArmor refuses to containers, as it comes, until nobody listens any more.

The request: {"only": [CTID], "after": [SECONDS, SERIAL] or null}. `only`: containers, none for
all; `after`: the last line that is known already, null: from now on. It ends when stdin does.
Events, each a JSON object in a line of at most 16 KiB:

- {"event": "source", "source": "audit.log|journal|kernel log", "missing": TEXT}: first, and when it
  changes: which log is followed and what that may lack, "" for nothing
- {"event": "denial", "at": TIME, "serial": N, "text": TEXT, "pid": N, "owner": [CTID, ENGINE_ID,
  NAME] or null, "count": 1, "sharing": [CTID, ...]}: a new kind, its text as in the section
  `denials`; `owner` by the process while it lives, "" for what is not known or not there;
  `sharing`: the containers that run under that profile
- {"event": "again", "at": TIME, "serial": N, "text": TEXT, "count": N}: how often by now; at most
  once a second of one kind
- {"event": "flood", "profile": NAME, "lines": N, "kinds": N, "at": TIME}: how many lines of a
  profile were not told so far, as they are of too many kinds, and of how many, about; at most once
  a second. Fewer than before: it was forgotten meanwhile, and is counted anew
- {"event": "alive", "at": TIME, "serial": N}: every 5 seconds; the last line that was read

`at` and `serial` are those of the line; with the last ones that were read as `after` a new stream
goes on where this one ended, and counts anew.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import OrderedDict
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from node import owner
from node.engine_names import EngineNames
from node.log_follow import FollowedLog
from node.main import request
from node.shares import Shares
from node.sharing import Sharing
from phoenix.apparmor.audit_line import Refusal, is_logged, whose

#: Seconds between two looks at the log, two numbers of one kind, and two signs of life.
_LOOK, _AGAIN, _ALIVE = 0.25, 1.0, 5.0

#: So many kinds are known, of one profile and of all.
_EACH, _ALL = 200, 2000

#: So many new kinds of a profile are told at once, and so many a second, by the log's own clock.
_BURST, _RATE = 50, 5.0

#: So many profiles are watched for floods; of so many texts it is known that they were part of one.
_PROFILES, _FLOODED = 1000, 10_000

#: A log's lines are out of their order by less than so many seconds; more: the clock was set back.
_DISORDER = 5.0

#: Bytes of a text and containers that share a profile, so that an event fits in its line.
_TEXT, _SHARING = 10_000, 800


@dataclass
class _Kind:
    """A kind: how often it came, the last line of it, and when its number was told."""

    count: int
    last: Refusal
    told_at: float


@dataclass
class _Flow:
    """How many new kinds of a profile may be told, as of a line's time; what was not."""

    room: float
    at: float
    lines: int = 0
    kinds: int = 0
    told: int = 0
    told_at: float = 0.0


def main(_: list[str]) -> int:
    """Read the request, tell what comes."""
    asked = request()
    after = asked["after"]
    log = FollowedLog(None if after is None else (float(after[0]), int(after[1])))
    try:
        with EngineNames() as names:
            stream = _Stream(log, names, {*asked["only"]})
            while True:
                stream.read()
                _wait(_LOOK)
    except BrokenPipeError:
        # nobody listens any more; nor must Python fail when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        log.close()
    return 0


def _wait(seconds: float) -> None:
    """Wait; raises BrokenPipeError once stdin has ended."""
    if select.select([0], [], [], seconds)[0] and not os.read(0, 4096):
        raise BrokenPipeError


class _Stream:
    def __init__(self, log: FollowedLog, names: EngineNames, only: Set[int]) -> None:
        self.log, self.names, self.only, self.sharing = log, names, only, Sharing()
        self.kinds: Shares[_Kind] = Shares(_ALL, _EACH)
        self.changed: dict[str, _Kind] = {}
        self.flows: OrderedDict[str, _Flow] = OrderedDict()
        self.flooded: set[int] = set()
        self.source = ("", "")
        self.tick_at, self.alive_at = 0.0, time.monotonic() + _ALIVE

    def read(self) -> None:
        """Tell what has come since."""
        for one in self.log.read():
            self._tell_source()
            self._take(one)
            if time.monotonic() >= self.tick_at:
                self._tick()
                _wait(0)
        self._tell_source()
        self._tick()

    def _take(self, one: Refusal) -> None:
        one = one._replace(text=_fitting(one.text))
        if self.only and not self._is_asked(one):
            return
        profile = whose(one.text)
        share = f"{profile} logged" if is_logged(one.text) else profile
        kind = self.kinds.find(share, one.text)
        if kind is not None:
            kind.count, kind.last = kind.count + 1, one
            self.changed[one.text] = kind
        elif self._may_tell(profile, one):
            # one that was forgotten, and comes again, is counted anew
            self.changed.pop(one.text, None)
            self.kinds.add(share, one.text, _Kind(1, one, time.monotonic()))
            self._tell_denial(one)

    def _is_asked(self, one: Refusal) -> bool:
        """Whether it may be about a container that is asked for."""
        sharing = {*self.sharing.of(one.text)}
        if sharing <= self.only:
            return True
        found = owner.find(one.pid, one.time) if one.pid else None
        return bool(self.only & ({found[0]} if found else sharing))

    def _may_tell(self, profile: str, one: Refusal) -> bool:
        """Whether a new kind is told; else it is part of a flood."""
        flow = self.flows.setdefault(profile, _Flow(_BURST, one.time))
        self.flows.move_to_end(profile)
        if len(self.flows) > _PROFILES:
            self._tell_flood(*self.flows.popitem(last=False))
        if one.time < flow.at - _DISORDER:
            flow.at = one.time
        flow.room = min(_BURST, flow.room + max(0.0, one.time - flow.at) * _RATE)
        flow.at = max(flow.at, one.time)
        if flow.room >= 1:
            flow.room -= 1
            return True
        flow.lines += 1
        if hash(one.text) not in self.flooded:
            flow.kinds += 1
            if len(self.flooded) >= _FLOODED:
                self.flooded.clear()
            self.flooded.add(hash(one.text))
        return False

    def _tick(self) -> None:
        """Tell what is told now and then."""
        now = time.monotonic()
        self.tick_at = now + _LOOK
        for text, kind in [*self.changed.items()]:
            if now - kind.told_at >= _AGAIN:
                kind.told_at = now
                del self.changed[text]
                self._write(_at("again", kind.last), text=text, count=kind.count)
        for profile, flow in self.flows.items():
            if now - flow.told_at >= _AGAIN:
                self._tell_flood(profile, flow)
        if now >= self.alive_at:
            self.alive_at = now + _ALIVE
            at, serial = self.log.mark
            self._write({"event": "alive", "at": at, "serial": serial})
        sys.stdout.flush()

    def _tell_flood(self, profile: str, flow: _Flow) -> None:
        if flow.lines > flow.told:
            flow.told, flow.told_at = flow.lines, time.monotonic()
            flood = {"event": "flood", "profile": _fitting(profile), "at": flow.at}
            self._write(flood, lines=flow.lines, kinds=flow.kinds)

    def _tell_source(self) -> None:
        source = (self.log.source, self.log.missing)
        if source != self.source:
            self.source = source
            self._write({"event": "source", "source": source[0], "missing": source[1]})

    def _tell_denial(self, one: Refusal) -> None:
        found, told = owner.find(one.pid, one.time) if one.pid else None, None
        if found is not None:
            ctid, engine_id = found
            told = [ctid, engine_id, self.names.name(ctid, engine_id) if engine_id else ""]
        sharing = self.sharing.of(one.text)[:_SHARING]
        denial = {**_at("denial", one), "text": one.text, "pid": one.pid}
        self._write(denial, owner=told, count=1, sharing=sharing)

    def _write(self, event: dict[str, Any], **more: Any) -> None:
        sys.stdout.write(f"{json.dumps({**event, **more}, ensure_ascii=False)}\n")


def _at(event: str, one: Refusal) -> dict[str, Any]:
    return {"event": event, "at": one.time, "serial": one.serial}


def _fitting(text: str) -> str:
    """A text as an event has room for it: quotes take two characters there, others up to six."""
    if len(text) < _TEXT // 6 or len(json.dumps(text, ensure_ascii=False).encode()) <= _TEXT:
        return text
    return text[: _TEXT // 6]
