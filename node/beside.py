"""The same done for several at once, in threads.

`concurrent.futures` would do it, but brings `logging` and more: to load that takes a slow node as
long as the questions of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def beside(work: Callable[[T], R], these: Iterable[T], most: int) -> dict[T, R]:
    """What comes of each of these, in their order; `most`: so many are at work at a time.

    Raises what the first of them raised, once all are done.
    """
    every = list(these)
    left: SimpleQueue[T] = SimpleQueue()
    for one in every:
        left.put(one)
    done: dict[T, R] = {}
    failed: dict[T, BaseException] = {}

    def run() -> None:
        while True:
            try:
                one = left.get_nowait()
            except Empty:
                return
            try:
                done[one] = work(one)
            except BaseException as error:  # raised below
                failed[one] = error

    threads = [Thread(target=run) for _ in range(min(most, len(every)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in every:
        if one in failed:
            raise failed[one]
    return {one: done[one] for one in every}
