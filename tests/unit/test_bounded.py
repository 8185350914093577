"""Programs that try to hold us up, fill us up, or keep something of ours."""

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.bounded import MIB, MISSING, SIZE, TIME, run

#: Leaves a process of a session of its own that keeps all three pipes, and names it.
LEAVES = "setsid sh -c 'echo $$; exec sleep 60' & sleep 0.3"


def sh(text, **arguments):
    return run(["sh", "-c", text], **arguments)


def python(text, **arguments):
    return run([sys.executable, "-c", text], **arguments)


@pytest.fixture
def took():
    """How many seconds have passed in this test."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


def end(pid):
    os.kill(int(pid), 9)


def test_what_it_says_and_its_exit_code_are_given():
    ended = sh("read line; echo got $line; echo no >&2; exit 3", data=b"this\n")
    assert (ended.code, ended.out, ended.err, ended.why) == (3, b"got this\n", b"no\n", "")
    assert not ended.ok


def test_both_streams_in_their_order_if_one_wants_them_so():
    assert sh("echo a; echo b >&2; echo c", merge=True).out == b"a\nb\nc\n"


def test_one_that_a_signal_ends_says_which():
    assert sh("kill -9 $$").code == -9


def test_one_that_somebody_else_has_waited_for_has_ended(monkeypatch):
    def gone(pid):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "pidfd_open", gone)
    ended = sh("echo said; exit 3")
    assert (ended.code, ended.out) == (3, b"said\n")


def test_what_stays_and_keeps_our_pipes_is_not_waited_for(took):
    ended = sh(LEAVES, seconds=30)
    end(ended.out)
    assert (ended.code, ended.why) == (0, "")
    assert took() < 5


def test_what_keeps_stdin_and_does_not_read_is_not_waited_for_either(took):
    ended = sh(f"exec 3<&0; {LEAVES}", data=bytes(MIB), seconds=30)
    end(ended.out)
    assert ended.code == 0
    assert took() < 5


def test_one_that_never_ends_is_given_up_at_its_deadline_whatever_it_ignores(took):
    ended = sh("trap '' TERM HUP INT; echo $$; while :; do sleep 1; done", seconds=0.5)
    assert (ended.code, ended.why) == (None, TIME)
    assert took() < 3
    assert not Path(f"/proc/{int(ended.out)}").exists()


def test_one_that_gets_on_has_as_much_time_again(took):
    far = iter((1, 2, 3, 3, 3))
    ended = python("import time; time.sleep(60)", seconds=0.2, progress=lambda: next(far))
    assert (ended.why, 0.6 <= took() < 30) == (TIME, True)
    assert [*far] == [3]


def test_one_that_comes_to_its_end_in_its_second_time_has_ended():
    far = iter(range(1000))
    ended = sh("sleep 0.3; echo done", seconds=0.1, progress=lambda: next(far))
    assert (ended.ok, ended.out) == (True, b"done\n")


def test_given_up_its_process_group_goes_with_it():
    ended = sh("sleep 60 & echo $!; wait", seconds=0.5)
    assert gone(ended.out)


def test_its_process_group_may_end_with_it():
    assert gone(sh("sleep 60 & echo $!", ends_group=True).out)
    stays = sh("sleep 60 >/dev/null 2>&1 & echo $!").out
    assert not gone(stays)
    end(stays)


def gone(pid):
    """Whether it has ended; whoever inherits it may not have waited for it yet."""
    for _ in range(50):
        status = Path(f"/proc/{int(pid)}/stat")
        if not status.exists() or ") Z " in status.read_text():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("stream", [1, 2])
def test_a_flood_is_stopped_at_the_limit_and_costs_no_more_memory(took, stream):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = sh(f"exec yes >&{stream}", seconds=30)
    assert (ended.code, ended.why) == (None, SIZE)
    assert len(ended.out if stream == 1 else ended.err) == MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    assert took() < 5


def test_what_is_just_within_the_limit_is_no_flood():
    exactly = "head -c 1000 /dev/zero"
    assert sh(exactly, limit=1000).why == ""
    assert sh(exactly, limit=999).why == SIZE


def test_a_flood_after_its_end_is_one_too():
    ended = sh("setsid yes & echo $! >&2; sleep 0.2", limit=100_000, seconds=30)
    end(ended.err)
    assert ended.why == SIZE


def test_a_flood_without_an_end_cannot_outlast_the_deadline(took):
    assert sh("exec yes", limit=1 << 40, seconds=0.5).why == TIME
    assert took() < 3


def test_much_for_one_that_floods_instead_of_reading_is_no_deadlock(took):
    ended = sh("exec yes", data=bytes(8 * MIB), seconds=30)
    assert ended.why == SIZE
    assert took() < 5


def test_much_goes_through_whole():
    data = os.urandom(3 * MIB)
    assert run(["cat"], data=data, limit=4 * MIB).out == data


def test_one_that_wants_none_of_it_is_no_failure():
    ended = sh("exec <&-; sleep 0.3; echo done", data=bytes(8 * MIB))
    assert (ended.code, ended.out) == (0, b"done\n")


def test_without_anything_to_read_its_stdin_is_at_its_end():
    assert run(["cat"], seconds=5).code == 0


def test_closed_streams_cost_no_processor_time():
    began = time.process_time()
    ended = sh("exec <&- >&- 2>&-; sleep 1", data=bytes(8 * MIB))
    assert ended.code == 0
    assert time.process_time() - began < 0.3


def test_it_has_three_pipes_and_no_other_descriptor():
    # such as a lock, a file that is being written, the program itself
    held = [os.open("/dev/null", os.O_RDWR), os.memfd_create("program", 0)]
    for one in held:
        os.set_inheritable(one, True)
    lists = """
import os
for name in os.listdir("/proc/self/fd"):
    try:
        print(name, os.readlink("/proc/self/fd/" + name).partition(":")[0])
    except FileNotFoundError:
        pass  # that of the list itself
"""
    ended = python(lists)
    for one in held:
        os.close(one)
    assert sorted(ended.out.decode().splitlines()) == ["0 pipe", "1 pipe", "2 pipe"]


def test_it_has_no_terminal_even_where_we_have_one():
    program = (
        "from node.bounded import run\n"
        "print(run(['sh', '-c', ': </dev/tty && echo mine']).out, run(['tty']).out)\n"
    )
    assert on_a_terminal([sys.executable, "-c", program]) == "b'' b'not a tty\\n'"
    assert on_a_terminal(["sh", "-c", ": </dev/tty && echo mine"]) == "mine"


def on_a_terminal(argv):
    """What a program prints that has a terminal for its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(Path(__file__).parents[2])
        os.execvp(argv[0], argv)
    said = b""
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:
        # the other end is closed
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return said.decode().strip()


def test_it_has_plain_messages_and_the_usual_umask_and_folder(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    was = os.umask(0o077)
    try:
        assert sh("echo $LC_ALL; umask; pwd").out == b"C\n0022\n/\n"
    finally:
        os.umask(was)


def test_what_is_no_utf_8_is_a_value_and_no_failure():
    ended = sh(r"printf '\377\376'")
    assert (ended.out, ended.text, ended.ok) == (b"\xff\xfe", None, True)
    assert sh("echo ü").text == "ü\n"


@pytest.mark.parametrize(
    "argv", [["no-such-program"], ["sh", "-c", "x" * 4 * MIB], ["sh", "a\0b"], ["sh", "a\ud800b"]]
)
def test_one_that_cannot_be_started_is_a_value_too(argv):
    ended = run(argv)
    assert (ended.code, ended.why) == (None, MISSING)
    assert ended.err.startswith(f"{argv[0]}: ".encode())


def test_where_no_descriptor_is_left_nothing_stays_behind():
    program = (
        "import resource\n"
        "from node.bounded import run\n"
        "for many in range(3, 16):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (many, 64))\n"
        "    ended = run(['sleep', '9'], seconds=0.1)\n"
        "    assert ended.why in ('missing', 'time'), ended\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "print(run(['pgrep', '-cP', str(__import__('os').getpid()), 'sleep']).out)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("b'0\\n'\n", "")


def test_none_is_left_to_be_waited_for():
    for ended in (sh("echo $$"), sh("echo $$; exec sleep 60", seconds=0.5)):
        assert not Path(f"/proc/{int(ended.out)}").exists()


def test_interrupted_we_leave_nothing_behind(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    was = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            sh(f"echo $$ >{tmp_path}/pid; exec sleep 60")
    finally:
        signal.signal(signal.SIGALRM, was)
    assert gone((tmp_path / "pid").read_text())
