"""The verb that restarts a container, with a fake `pct`."""

import pytest
from commit_node import SOCKET, SOCKETS, STARTS, STOPS, Node

PCT = f"""\
echo "$*" >>"$FAKE/calls"
cat >/dev/null  # as pct exec does
becomes() {{ case $1 in start) {STARTS} ;; shutdown | stop) {STOPS} ;; esac }}
case $1 in
status) cat "$FAKE/status" 2>/dev/null; exit ;;
esac
case " $(cat "$FAKE/odd" 2>/dev/null) " in
*" $1-does-nothing "*) exit 0 ;;
*" $1-fails "*) exit 255 ;;
*" $1-works-and-fails "*) becomes "$1"; exit 255 ;;
esac
becomes "$1"
case $1$(cat "$FAKE/odd") in
startsays-much) printf 'explicitly configured lxc.apparmor.profile overrides \\033[2J\\n' >&2 ;;
esac
"""


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    node.tool("pct", PCT)
    return node


@pytest.fixture
def restart(node):
    """Run the verb: its exit code, its lines, what `pct` was asked, the state afterwards."""

    def run(state="running", odd=""):
        node.state = state
        (node.fake / "odd").write_text(odd)
        done = node.verb("restart", "910", "90")
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines(), node.calls, node.state

    return run


def test_a_running_container_shuts_down_and_starts(restart):
    assert restart() == (
        0,
        ["CT 910: restarted"],
        ["shutdown 910 --timeout 90", "start 910"],
        "running",
    )


def test_a_stopped_container_stays_so(restart):
    assert restart("stopped") == (
        0,
        ["CT 910: does not run: nothing to restart"],
        [],
        "stopped",
    )


@pytest.mark.parametrize("odd", ["shutdown-fails", "shutdown-does-nothing"])
def test_one_that_does_not_shut_down_is_stopped(restart, odd):
    code, lines, calls, state = restart(odd=odd)
    assert (code, state) == (0, "running")
    assert lines == ["CT 910: did not shut down within 90 s: stopping it", "CT 910: restarted"]
    assert calls == ["shutdown 910 --timeout 90", "stop 910", "start 910"]


@pytest.mark.parametrize("odd", ["shutdown-works-and-fails", "start-works-and-fails"])
def test_what_it_is_afterwards_counts_not_the_exit_code(restart, odd):
    code, lines, _, state = restart(odd=odd)
    assert (code, lines, state) == (0, ["CT 910: restarted"], "running")


@pytest.mark.parametrize("odd", ["start-fails", "start-does-nothing"])
def test_one_that_does_not_start_is_said_with_the_next_step(restart, odd):
    code, lines, _, state = restart(odd=odd)
    assert (code, state) == (1, "stopped")
    assert lines == ["CT 910: is stopped and does not start: try pct start 910 --debug"]


def test_one_that_cannot_be_stopped_is_not_started(restart):
    code, lines, calls, state = restart(odd="shutdown-fails stop-fails")
    assert (code, state) == (1, "running")
    assert lines[-1] == "CT 910: cannot be stopped and goes on as it was: try pct stop 910"
    assert "start 910" not in calls


def test_one_without_a_conf_here_is_left_alone(node, restart):
    node.conf.unlink()
    code, lines, calls, _ = restart()
    assert (code, calls) == (1, ["status 910"])
    assert lines == ["CT 910: its state is not known: nothing was done: try pct status 910"]


@pytest.mark.parametrize("said", ["stopped", "running"])
def test_where_the_sockets_of_the_node_cannot_be_read_pct_is_asked(node, said):
    node.sockets.unlink()
    (node.fake / "status").write_text(f"status: {said}\n")
    node.verb("restart", "910", "90")
    assert node.calls[0] == "status 910"
    assert ("shutdown 910 --timeout 90" in node.calls) == (said == "running")


@pytest.mark.parametrize(
    "path",
    [
        "@/var/lib/lxc/910/command.sock",
        "/var/lib/lxc/910/command",
        "@/tmp/var/lib/lxc/910/command",
        "@/var/lib/lxc/9100/command",
        "@/var/lib/lxc/910/command x",
    ],
)
def test_another_socket_is_not_the_one_of_a_container_that_runs(node, path):
    node.sockets.write_text(SOCKETS + SOCKET.replace("@/var/lib/lxc/910/command", path) + "\n")
    done = node.verb("restart", "910", "90")
    assert done.stdout == "CT 910: does not run: nothing to restart\n"


def test_what_pct_says_is_told_in_printable_lines(restart):
    code, lines, _, _ = restart(odd="says-much")
    assert code == 0
    assert "explicitly configured lxc.apparmor.profile overrides \\x1b[2J" in lines
