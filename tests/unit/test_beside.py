"""node/beside.py: several at once, in threads."""

from threading import Barrier, BrokenBarrierError, Lock

import pytest

from node.beside import beside


def test_what_comes_of_each_is_told_in_their_order():
    assert beside(lambda n: n * n, [3, 1, 2], most=2) == {3: 9, 1: 1, 2: 4}
    assert list(beside(str, [3, 1, 2], most=9)) == [3, 1, 2]
    assert beside(str, [], most=4) == {}


def test_they_are_at_work_at_the_same_time():
    meeting = Barrier(3, timeout=30)
    assert set(beside(lambda _: meeting.wait(), [1, 2, 3], most=3).values()) == {0, 1, 2}


def test_no_more_than_that_are_at_work():
    lock, at_work, most = Lock(), set(), []

    def work(n):
        with lock:
            at_work.add(n)
            most.append(len(at_work))
        with lock:
            at_work.remove(n)

    beside(work, range(200), most=2)
    assert max(most) <= 2
    meeting = Barrier(3, timeout=0.05)
    with pytest.raises(BrokenBarrierError):
        beside(lambda _: meeting.wait(), [1, 2, 3], most=2)


def test_the_first_failure_is_raised_once_all_are_done():
    done = []

    def work(n):
        if n < 3:
            raise ValueError(n)
        done.append(n)

    with pytest.raises(ValueError, match="1"):
        beside(work, [1, 2, 3, 4], most=1)
    assert done == [3, 4]
