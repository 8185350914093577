"""Operations on the node's own files that no plan of harden makes by itself: which commands."""

import json

import pyinfra.api.output
import pytest
from node_command import readable
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from node.pack import watch_script
from operations import rollback, snapshot
from operations.watch import watch
from phoenix.docker.daemon_json import digest
from phoenix.plan.actions import ContainerChange, FileChange, FileRevert, WatchChange
from phoenix.pve.conf import PveConf
from phoenix.runs.watch import SCRIPT, WANTED

RUN, UNDONE = "r20261123T013000Z-beef", "r20261122T013000Z-beef"


@pytest.fixture
def commands():
    """The commands of an operation and what they read, outside a run."""

    def run(operation, diff=False, **arguments):
        state = FakeState()
        state.config.DIFF = diff
        with ctx_state.use(state), ctx_host.use(create_host(state)):
            return [
                (readable(one.get_raw_value()), json.loads(one.connector_arguments["_stdin"]))
                for one in operation._inner(run=RUN, **arguments)
            ]

    return run


def test_a_run_that_undoes_another_begins_with_saying_so(commands):
    assert commands(rollback.begin, undoes=UNDONE) == [(f"NODE begin {RUN} {UNDONE}", None)]


def test_a_file_goes_back_by_what_is_there_and_what_was(commands):
    path = "/etc/apparmor.d/lxc-a"
    change = FileRevert(path, "ours\n", None, digest("ours\n"))
    assert commands(rollback.restore_file, change=change, undoes=UNDONE) == [
        (f"NODE restore {path} {change.digest} none {UNDONE} {RUN}", None)
    ]


def test_the_files_of_the_watch_travel_together(commands, monkeypatch):
    shown = []
    monkeypatch.setattr(pyinfra.api.output, "_echo", lambda text, err: shown.append(text))
    wanted = FileChange(WANTED, None, "910 lxc-a (enforce)\n", "600")
    script = FileChange(SCRIPT, "old\n", watch_script(), "755")
    change = WatchChange("on", (wanted, script))
    files = [[WANTED, "600", wanted.after], [SCRIPT, "755", script.after]]
    found = commands(watch, diff=True, change=change)
    assert found == [(f"NODE install-watch {RUN} on", {"files": files})]
    # what nobody can read is not shown
    assert any("910 lxc-a (enforce)" in line for line in shown)
    assert any(f"(the program, {digest(script.after)[:12]})" in line for line in shown)
    assert len(shown) < 8


def test_a_snapshot_is_taken_in_a_unit_and_what_was_staged_before_is_staged_anew(commands):
    conf = PveConf("hostname: a\n")
    change = ContainerChange(910, "a", conf, conf, None, False, False, ())
    taken, staged = commands(snapshot.snapshot, ctid=910, again=lambda ctid: change)
    assert taken[0].startswith("systemd-run --wait --pipe --collect --quiet ")
    assert taken[0].endswith(f" NODE snapshot 910 phoenix-{RUN}")
    assert taken[1] == {"description": f"before run {RUN} of phoenix-harden"}
    assert (staged[0], staged[1]["replace"]) == (f"NODE stage {RUN}", [910])
