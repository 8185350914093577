"""What AppArmor refuses to containers, line by line as it comes, each line once.

The most complete log is followed, and another one while that is not written. What both have, or
what is read again after a rotation, is told apart by the kernel's own number of each event, and by
the text: all that is refused to one system call has one number.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator

from node import log_source
from node.log_tail import FileTail, JournalTail
from phoenix.apparmor.audit_line import Refusal, refusal

#: When a line was logged, and the kernel's number of it.
Mark = tuple[float, int]

#: How often it is seen which log is written, and what that lacks; in seconds.
_CHOOSE, _ASK = 2, 30

#: Logs may have lines in another order: so many seconds, and so many lines, are looked back.
_BACK, _WINDOW = 5, 10_000

#: From so many seconds on the clock was set back, and not slewed.
_SET_BACK = 1.0


class FollowedLog:
    """`after`: the last line that is known already, None: from now on."""

    def __init__(self, after: Mark | None) -> None:
        #: The newest line that was given.
        self.mark: Mark = after or (time.time(), 0)
        #: Which log it is, and what that may lack, as `node.log_source` says it.
        self.source, self.missing = "", ""
        self._tail: FileTail | JournalTail | None = None
        self._from_now = after is None
        self._floor, self._known = self.mark, OrderedDict[tuple[Mark, int], None]()
        self._clock = _clock()
        # how far the file was read when it was left for another log
        self._file_until = self._since = self.mark[0]
        self._choose_at = self._ask_at = 0.0

    def read(self) -> Iterator[Refusal]:
        """What has come. Raises OSError where the log cannot be read."""
        self._follow_clock()
        self._choose()
        if self._tail is None:
            return
        for line in self._tail.read(self._since):
            one = refusal(line)
            if one is not None and self._is_new(one, self._tail.is_again):
                yield one
        self._since = min(self.mark[0], time.time()) - _BACK

    def close(self) -> None:
        """Let go of the log."""
        if self._tail is not None:
            self._tail.close()
        self._tail = None

    def _choose(self) -> None:
        now = time.monotonic()
        if now >= self._choose_at:
            source = log_source.choose()
            if source != self.source:
                self._change(source)
            self._choose_at = time.monotonic() + _CHOOSE
        if now >= self._ask_at:
            self.missing = log_source.missing(self.source)
            self._ask_at = time.monotonic() + _ASK

    def _change(self, source: str) -> None:
        """Read another log. auditd, started again, gets what the kernel has kept for it: so the
        file is read on from where it was left, however far the other one was.
        """
        if self.source == log_source.FILE:
            self._file_until = self.mark[0]
        self.close()
        transport = log_source.TRANSPORTS.get(source)
        begins = not self.source and self._from_now
        self._tail = JournalTail(transport) if transport else FileTail(at_end=begins)
        self.source, self._since, self._ask_at = source, self._file_until - _BACK, 0.0

    def _follow_clock(self) -> None:
        """Where the node's clock was set back, what comes seems to be older than what is known:
        by that much less has been read.
        """
        was, self._clock = self._clock, _clock()
        if (back := was - self._clock) >= _SET_BACK:
            self.mark, self._floor = _earlier(self.mark, back), _earlier(self._floor, back)
            self._file_until -= back

    def _is_new(self, one: Refusal, is_again: bool) -> bool:
        mark = (one.time, one.serial)
        known = (mark, hash((one.text, one.pid)))
        if known in self._known or (is_again and mark <= self._floor):
            return False
        self._known[known] = None
        if len(self._known) > _WINDOW:
            gone = self._known.popitem(last=False)[0][0]
            # one that is later than the newest is of before the clock was set back
            if gone <= self.mark:
                self._floor = max(self._floor, gone)
        self.mark = max(self.mark, mark)
        return True


def _clock() -> float:
    """What is constant as long as nobody sets the clock, or puts the node to sleep."""
    return time.time() - time.monotonic()


def _earlier(mark: Mark, seconds: float) -> Mark:
    return mark[0] - seconds, mark[1]
