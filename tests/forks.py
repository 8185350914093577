"""Programs in Python that need not import first what they need: forks of a process that has.

Most of what a test waits for is otherwise Python as it starts. A fork is a process of its own as
well: with its words, environment and folder, with pipes as its streams, and to be killed. What it
does not prove is that the program finds all that it imports; `test_sent_program.py` does.
"""

from __future__ import annotations

import atexit
import gc
import os
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path


class Forks:
    """Starts programs in forks of a process that has run `prepare`, a program itself.

    May be used by several threads: each gets a process that nobody else waits for.
    """

    def __init__(self, prepare: str) -> None:
        self._prepare = prepare
        self._idle: list[_Prepared] = []

    def run(
        self,
        program: str,
        *words: str,
        env: dict[str, str],
        input: str = "",
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with pipes and `text`; `program`: its text, `words`: what it gets."""
        prepared = self._idle.pop() if self._idle else _Prepared(self._prepare)
        outcome = prepared.ask(program, words, env, Path.cwd(), input, timeout)
        self._idle.append(prepared)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class _Prepared:
    """A process that is ready, and ends when nobody can ask it any more.

    Not waited for: a pipe that gevent has patched is closed once its loop next turns, and at the
    end of tests nothing turns it.
    """

    def __init__(self, prepare: str) -> None:
        # gevent makes the pipes of its own processes non-blocking
        its_questions, questions = os.pipe()
        answers, its_answers = os.pipe()
        self._process = subprocess.Popen(
            # no site: no program that is started here needs what is installed
            [sys.executable, "-I", "-S", __file__, prepare],
            stdin=its_questions,
            stdout=its_answers,
            # a Ctrl-C is for pytest
            start_new_session=True,
        )
        os.close(its_questions)
        os.close(its_answers)
        self._questions = Connection(questions, readable=False)
        self._answers = Connection(answers, writable=False)

    def ask(self, *question: object) -> subprocess.CompletedProcess[str] | Exception:
        self._questions.send(question)
        return self._answers.recv()


def _serve(prepare: str) -> None:
    """Be such a process."""
    questions, answers = Connection(0, writable=False), Connection(1, readable=False)
    exec(prepare, {})
    gc.freeze()
    while True:
        try:
            program, words, env, folder, given, limit = questions.recv()
        except EOFError:
            return

        def be(program=program, words=words, env=env):
            _be(program, words, env)

        try:
            outcome = subprocess.run(
                ["python", *words],
                # never returns, so that nothing is executed
                preexec_fn=be,
                # Python itself ignores SIGPIPE
                restore_signals=False,
                cwd=folder,
                input=given,
                capture_output=True,
                text=True,
                timeout=limit,
            )
        except (subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            outcome = error
        answers.send(outcome)


def _be(program: str, words: tuple[str, ...], env: dict[str, str]) -> None:
    """Be the program, in a fork whose streams are in place, and end as Python does."""
    os.closerange(3, 256)  # the few that there are
    gc.enable()  # which subprocess disables for a fork
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = ["-c", *words]
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    code: object = 0
    try:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, (int, type(None))):
        print(code, file=sys.stderr)
        code = 1
    # as multiprocessing ends its forks
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
