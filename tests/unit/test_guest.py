"""The one place that reaches into a guest, with a fake lxc-attach and fake control groups."""

import os
import signal
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path

import pytest
from script_node import ScriptNode

from node import guest, root
from node.bounded import MIB, SIZE, TIME
from node.state import lock

#: lxc-attach as it would be called: enters no guest, has our environment still.
PASSES_ON = 'while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"'
LEAF = "/sys/fs/cgroup/lxc/910/ns/.lxc"
INIT = 4711


class Node(ScriptNode):
    """A node with container 910, whose control groups the test fills itself."""

    def __init__(self, folder):
        super().__init__(folder)
        self.started = []
        self.process(INIT, [INIT, 1], parent=1)
        self.process(1, [1], parent=0)

    def process(self, pid, numbers, parent):
        """Let /proc say this of a process."""
        inside = "\t".join(map(str, numbers))
        status = f"Name:\tsh\nPPid:\t{parent}\nNSpid:\t{inside}\nThreads:\t1\n"
        self.has(f"/proc/{pid}/status", status)

    def real(self, parent, number=70):
        """A real process, which may be ended; gives its pid."""
        started = subprocess.Popen(["sleep", "60"])
        self.started.append(started)
        self.process(started.pid, [started.pid, number], parent)
        return started.pid

    def attached(self, *pids, leaf=LEAF):
        self.has(f"{leaf}/cgroup.procs", "".join(f"{pid}\n" for pid in pids))

    def leaves(self, *pids):
        """Have the next command in the guest leave these behind."""
        there = "".join(f"{pid}\\n" for pid in pids)
        self.tool("lxc-attach", f"printf '{there}' >>\"$PHOENIX_ROOT{LEAF}/cgroup.procs\"")

    def lives(self, pid):
        (process,) = (one for one in self.started if one.pid == pid)
        try:
            return process.wait(0.2) is None
        except subprocess.TimeoutExpired:
            return True


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = Node(tmp_path)
    for name, value in node.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PHOENIX_ROOT", str(node.root))
    monkeypatch.setenv("PHOENIX_PATH", str(node.fake))
    node.tool("lxc-attach", PASSES_ON)
    node.has("/sys/fs/cgroup/lxc/910/ns/init.scope/cgroup.procs", f"{INIT}\n")
    node.attached()
    yield node
    for process in node.started:
        process.kill()
        process.wait()


def sh(text, **arguments):
    return guest.attach(910, ["sh", "-c", text], **arguments)


# --- what it is given, and how long ---------------------------------------------------------------


def test_the_guest_gets_the_words_as_they_are_and_no_variable_of_ours(node):
    node.tool("lxc-attach", 'printf "%s\\n" "$@"')
    ended = guest.attach(910, ["docker", "ps *", ""], variables={"DEBIAN_FRONTEND": "none"})
    assert ended.out.decode().split("\n") == [
        *("-n", "910", "--clear-env"),
        f"--set-var=PATH={root.PATH}",
        "--set-var=LC_ALL=C",
        "--set-var=DEBIAN_FRONTEND=none",
        *("--", "docker", "ps *", "", ""),
    ]


def test_it_gets_three_pipes_and_neither_lock_nor_program_nor_what_is_being_written(
    node, monkeypatch
):
    monkeypatch.setenv("PHOENIX_ROOT", str(node.root))
    lists = "import os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)))\n"
    lists += "print(sorted(n for n in os.listdir('/proc/self/fd') if int(n) > 2 and\n"
    lists += "  os.path.exists(f'/proc/self/fd/{n}') and not os.path.isdir(f'/proc/self/fd/{n}')))"
    program = os.memfd_create("program", 0)
    with lock("a test"), (node.fake / "image").open("w") as image:
        for held in (program, image.fileno()):
            os.set_inheritable(held, True)
        ended = guest.attach(910, [sys.executable, "-c", lists])
    os.close(program)
    pipes, others = ended.out.decode().splitlines()
    assert [one.partition(":")[0] for one in pipes.split()] == ["pipe", "pipe", "pipe"]
    assert others == "[]"


def test_it_has_until_the_deadline_whatever_it_ignores_and_keeps(node):
    began = time.monotonic()
    stays = sh("setsid sleep 60 & echo $!", seconds=30)
    hangs = sh("trap '' TERM; while :; do sleep 1; done", seconds=0.5)
    assert (stays.code, hangs.why) == (0, TIME)
    assert time.monotonic() - began < 5
    os.kill(int(stays.out), signal.SIGKILL)


def test_it_has_a_limit(node):
    ended = sh("exec yes")
    assert (ended.why, len(ended.out)) == (SIZE, MIB)


def test_its_processes_on_the_node_end_with_it(node):
    pid = int(sh("sleep 60 & echo $!").out)
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.01)
    status = Path(f"/proc/{pid}/stat")
    assert not status.exists() or ") Z " in status.read_text()


def test_a_missing_lxc_attach_is_a_failure_in_words(node, monkeypatch):
    monkeypatch.setattr(root, "PATH", "/nowhere")
    (node.fake / "lxc-attach").unlink()
    ended = sh("true")
    assert guest.last_line(ended) == "lxc-attach: No such file or directory"


# --- why it failed, in a line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("echo a; echo b >&2; echo 'the last' >&2; exit 1", "the last"),
        ("echo out; exit 1", "out"),
        (r"printf '\033[2Jx\r\033]0;t\007\n\n' >&2; exit 1", r"\x1b]0;t\x07"),
        (r"printf 'no\377' >&2; exit 1", "no�"),
        ("exit 3", "exit 3"),
    ],
)
def test_the_last_line_tells_why(node, text, line):
    assert guest.last_line(sh(text)) == line


def test_however_long_it_is(node):
    assert len(guest.last_line(sh("head -c 100000 /dev/zero | tr '\\0' x; exit 1"))) == 200


def test_one_that_was_given_up_says_so(node):
    assert guest.last_line(sh("echo no; sleep 9", seconds=0.3)) == "gave no answer in time"
    assert guest.last_line(sh("exec yes", limit=9)) == "said more than it should"


# --- what it leaves behind ------------------------------------------------------------------------


def test_what_it_leaves_behind_is_ended(node):
    left = [node.real(INIT), node.real(INIT)]
    node.leaves(*left)
    sh("")
    assert [node.lives(pid) for pid in left] == [False, False]


def test_also_where_lxc_had_to_take_another_group(node):
    left = node.real(INIT)
    node.tool("lxc-attach", f"g=$PHOENIX_ROOT{LEAF}-1; mkdir $g; echo {left} >$g/cgroup.procs")
    sh("")
    assert not node.lives(left)


def test_one_that_is_in_so_many_groups_that_its_numbers_cannot_be_read_is_ended(node):
    left = node.real(INIT)
    status = node.root / f"proc/{left}/status"
    groups = f"Groups:\t{'4294967294 ' * 100_000}\nNSpid:"
    status.write_text(status.read_text().replace("NSpid:", groups))
    node.leaves(left)
    sh("")
    assert not node.lives(left)


def test_also_where_the_guest_has_put_many_groups_beside_it(node, monkeypatch):
    monkeypatch.setattr(guest, "_GROUPS", 3)
    for number in range(9):
        node.has(f"/sys/fs/cgroup/lxc/910/ns/.a{number}/cgroup.procs", "")
    left = node.real(INIT)
    node.leaves(left)
    sh("")
    assert not node.lives(left)


def test_what_lxc_attach_did_not_live_to_wait_for_is_ended_too(node):
    # it was given up: the node's init has taken over what it had put into the guest
    left = node.real(parent=1)
    node.leaves(left)
    sh("")
    assert not node.lives(left)


def test_what_was_there_before_goes_on(node):
    there = node.real(INIT)
    node.attached(there)
    left = node.real(INIT)
    node.leaves(left)
    sh("")
    assert (node.lives(there), node.lives(left)) == (True, False)


def test_what_was_there_before_may_start_something_meanwhile(node):
    there = node.real(INIT)
    node.attached(there)
    started = node.real(there)
    node.leaves(started)
    sh("")
    assert (node.lives(there), node.lives(started)) == (True, True)


def test_somebodys_own_pct_enter_goes_on_with_all_that_it_runs(node):
    node.process(900, [900], parent=899)  # its lxc-attach, on the node
    shell = node.real(900, 50)
    command = node.real(shell, 51)
    node.leaves(shell, command)
    sh("")
    assert node.lives(shell)
    assert node.lives(command)


def test_the_nodes_own_client_of_a_host_managed_network_goes_on(node):
    # pve-container manage_dhclient: lxc-attach -s NETWORK|UTSNAME, which leaves it in the group
    # of the container and in the node's pid namespace
    dhclient, renewed, left = node.real(1), node.real(1), node.real(INIT)
    for pid in (dhclient, renewed):
        node.process(pid, [pid], parent=1)
    node.attached(dhclient)
    node.leaves(renewed, left)
    sh("")
    assert [node.lives(pid) for pid in (dhclient, renewed, left)] == [True, True, False]


def test_a_name_that_looks_like_the_kernels_own_line_changes_nothing(node):
    left = node.real(INIT)
    status = node.root / f"proc/{left}/status"
    forged = "x\rPPid:\t900\rNSpid:\t900"
    status.write_bytes(status.read_bytes().replace(b"sh", forged.encode(), 1))
    node.process(900, [900], parent=899)
    node.leaves(left)
    sh("")
    assert not node.lives(left)


def test_a_service_that_the_guests_init_does_not_start_stays_where_one_was_asked_for(node):
    (node.root / "sys/fs/cgroup/lxc/910/ns/init.scope/cgroup.procs").unlink()
    (node.root / "sys/fs/cgroup/lxc/910/ns/init.scope").rmdir()
    dockerd = node.real(INIT)
    node.leaves(dockerd)
    sh("", services=True)
    assert node.lives(dockerd)
    # and what it starts later on is its own
    shim = node.real(INIT)
    node.leaves(shim)
    sh("")
    assert node.lives(shim)


def test_nor_does_such_a_service_end_that_has_not_left_our_group_yet(node):
    (node.root / "sys/fs/cgroup/lxc/910/ns/init.scope/cgroup.procs").unlink()
    (node.root / "sys/fs/cgroup/lxc/910/ns/init.scope").rmdir()
    pid = int(sh("sleep 60 & echo $!", services=True).out)
    os.kill(pid, signal.SIGKILL)


def test_in_a_guest_with_systemd_no_service_is_ours_to_keep(node):
    left = node.real(INIT)
    node.leaves(left)
    sh("", services=True)
    assert not node.lives(left)


@pytest.mark.parametrize("text", ["", "x\n\n-1\n99999999999\n0\n", "1" * 100_000, "7\n" * 100_000])
def test_a_list_of_processes_without_sense_or_end_costs_little_and_ends_nothing(node, text):
    (node.root / LEAF[1:] / "cgroup.procs").write_text(text)
    began = time.monotonic()
    node.tool("lxc-attach", f'printf "8\\n{os.getpid()} 9\\n" >>"$PHOENIX_ROOT{LEAF}/cgroup.procs"')
    assert sh("").code == 0
    assert time.monotonic() - began < 6


def test_where_one_has_gone_before_we_saw_whose_it_was_what_it_left_is_ended(node, monkeypatch):
    left = node.real(parent=INIT)
    looks = chain([[4000]], repeat([left]))
    monkeypatch.setattr(guest, "_attached", lambda _: next(looks))
    guest._end_what_stayed(910, set())
    assert not node.lives(left)


def test_one_that_has_gone_by_itself_is_no_failure(node):
    gone = subprocess.Popen(["true"])
    gone.wait()
    node.process(gone.pid, [gone.pid, 70], INIT)
    node.leaves(gone.pid)
    assert sh("").code == 0


def test_a_container_without_control_groups_is_none(node):
    assert guest.attach(953, ["true"]).code == 0
