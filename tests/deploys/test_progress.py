"""The line that moves in a terminal."""

import io
import os
import pty
from types import SimpleNamespace

import gevent
import pytest
from gevent.event import Event

from deploys.steps import progress
from deploys.steps.progress import Progress, watch_progress
from phoenix.report.progress import Place


class Terminal(io.StringIO):
    """What a terminal is sent; `looked`: a line was drawn."""

    def __init__(self):
        super().__init__()
        self.looked = Event()

    def flush(self):
        self.looked.set()

    def isatty(self):
        return True


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown(terminal, clock):
    return Progress(terminal, lambda: 100, clock)


def state(**names):
    return SimpleNamespace(get_op_meta=lambda op: SimpleNamespace(names={names[op]}))


def test_the_line_moves_while_an_operation_works_and_not_after_it(shown, terminal, clock):
    run = state(first="CT 910 web", second="CT 953 db")
    shown.places = {"first": Place(1, 2), "second": Place(2, 2)}
    shown.operation_start(run, "first")
    assert terminal.looked.wait(10)
    assert terminal.getvalue() == "    CT 910 web: 0:00\r\033[K"
    clock.now += 40
    shown.operation_end(run, "first")
    shown.operation_start(run, "second")
    terminal.looked.clear()
    clock.now += 10
    assert terminal.looked.wait(10)
    shown.operation_end(run, "second")
    last = terminal.getvalue().rpartition("\033[K")[0].rpartition("\033[K")[2]
    assert last == "    CT 953 db: 0:10, usually 0:40, less than a minute to go\r"
    drawn = terminal.getvalue()
    gevent.idle()
    assert terminal.getvalue() == drawn


def test_what_takes_no_turn_tells_nothing_of_those_that_do(shown, terminal, clock):
    run = state(staging="Stage", first="CT 910 web")
    shown.places = {"first": Place(1, 2)}
    shown.operation_start(run, "staging")
    clock.now += 5
    shown.operation_end(run, "staging")
    shown.operation_start(run, "first")
    assert terminal.looked.wait(10)
    shown.operation_end(run, "first")
    assert "usually" not in terminal.getvalue()


def test_only_a_terminal_has_a_line_and_only_one_of_them(monkeypatch):
    handlers = []
    run = SimpleNamespace(add_callback_handler=handlers.append)
    monkeypatch.setenv("PYINFRA_PROGRESS", "")
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    assert watch_progress(run) is None
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master):
        monkeypatch.setattr(progress.sys, "stderr", terminal)
        assert [watch_progress(run)] == handlers
        # pyinfra's is off now
        assert os.environ["PYINFRA_PROGRESS"] == "off"
        assert watch_progress(run) is None
