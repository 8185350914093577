"""The verb that restarts a container, with a fake `pct`."""

import pytest
from script_node import ScriptNode

PCT = """\
echo "$*" >>"$FAKE/calls"
cat >/dev/null  # as pct exec does
case $1 in
status) [ ! -s "$FAKE/state" ] || echo "status: $(cat "$FAKE/state")" ;;
start) new=running ;;
*) new=stopped ;;
esac
case " $(cat "$FAKE/odd" 2>/dev/null) " in
*" $1-does-nothing "*) exit 0 ;;
*" $1-fails "*) exit 255 ;;
*" $1-works-and-fails "*) echo "$new" >"$FAKE/state"; exit 255 ;;
esac
[ "$1" = status ] || echo "$new" >"$FAKE/state"
case $1$(cat "$FAKE/odd") in
startsays-much) printf 'explicitly configured lxc.apparmor.profile overrides \\033[2J\\n' >&2 ;;
esac
"""


@pytest.fixture
def restart(tmp_path):
    """Run the verb: its exit code, its lines, what `pct` was asked, the state afterwards."""
    node = ScriptNode(tmp_path)
    node.tool("pct", PCT)

    def run(state="running", odd=""):
        (node.fake / "state").write_text(state)
        (node.fake / "odd").write_text(odd)
        done = node.verb("restart", "910", "90")
        assert done.stderr == ""
        return (
            done.returncode,
            done.stdout.splitlines(),
            [call for call in node.calls if not call.startswith("status")],
            (node.fake / "state").read_text().strip(),
        )

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


def test_one_whose_state_is_not_known_is_left_alone(restart):
    code, lines, calls, _ = restart("")
    assert (code, calls) == (1, [])
    assert lines == ["CT 910: its state is not known: nothing was done: try pct status 910"]


def test_what_pct_says_is_told_in_printable_lines(restart):
    code, lines, _, _ = restart(odd="says-much")
    assert code == 0
    assert "explicitly configured lxc.apparmor.profile overrides \\x1b[2J" in lines
