"""What the program knows of the transient unit that it runs in."""

import os
import subprocess
from pathlib import Path

import pytest

from node import root, tasks, unit

GROUP = "/system.slice/phoenix-harden-r20261128T013000Z-beef-970.service"


@pytest.fixture
def has(tmp_path, monkeypatch):
    """Write a file of the node."""
    monkeypatch.setenv("PHOENIX_ROOT", str(tmp_path))

    def write(path, text):
        file = Path(root.at(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


def test_it_is_busy_by_the_processor_time_of_its_group(has):
    has("/proc/self/cgroup", f"0::{GROUP}\n")
    has(f"/sys/fs/cgroup{GROUP}/cpu.stat", "usage_usec 61999999\nuser_usec 1\n")
    assert unit.busy() == 61


@pytest.mark.parametrize("group", ["", "0::/user.slice\n", "0::/\n"])
def test_outside_a_unit_of_ours_nothing_is_known_and_nobody_is_ended(has, group):
    has("/proc/self/cgroup", group)
    with subprocess.Popen(["sleep", "60"]) as other:
        has("/sys/fs/cgroup/user.slice/cgroup.procs", f"{other.pid}\n")
        has("/sys/fs/cgroup/cgroup.procs", f"{other.pid}\n")
        unit.end_others()
        assert (unit.busy(), other.poll()) == (0, None)
        other.kill()


def test_the_others_of_a_unit_are_ended_and_we_are_not(has):
    has("/proc/self/cgroup", f"0::{GROUP}\n")
    with subprocess.Popen(["sleep", "60"]) as other:
        has(f"/sys/fs/cgroup{GROUP}/cgroup.procs", f"{os.getpid()}\n{other.pid}\n")
        unit.end_others()
        assert other.wait(30) == -9


def test_a_task_is_at_work_as_long_as_its_process_is_the_one_that_began(has):
    upid = "UPID:pve1:00001268:00001234:67470000:vzcreate:970:root@pam:"
    has("/var/log/pve/tasks/active", f"nonsense\n{upid} 0\n")
    assert tasks.at_work(970) == ""
    has("/proc/4712/stat", f"4712 (task UPID) S {'0 ' * 18}4660 0")
    assert (tasks.at_work(970), tasks.at_work(97)) == ("vzcreate", "")
