"""watch-state.sh against a tree of files and a fake systemctl."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand

from facts.watch import Watch
from phoenix.watch import SCRIPT, WANTED, ObservedWatch

pytestmark = pytest.mark.skipif(not shutil.which("perl"), reason="perl is not installed")

REAL = (Path(__file__).parents[2] / "templates/node/watch.sh").read_text()


def ask(folder, systemctl):
    tool = folder / "systemctl"
    tool.write_text(f"#!/bin/sh\n{systemctl}\n")
    tool.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", StringCommand(Watch().command()).get_raw_value()],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "PHOENIX_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Watch().process([line.strip() for line in done.stdout.splitlines()])


def test_every_byte_of_its_files_arrives(tmp_path):
    for path, text in {SCRIPT: REAL, WANTED: "910 lxc-a enforce\n"}.items():
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True)
        file.write_text(text)
    files = {SCRIPT: REAL, WANTED: "910 lxc-a enforce\n"}
    assert ask(tmp_path, "exit 0") == ObservedWatch(files, timer=True)


@pytest.mark.parametrize("off", ["is-enabled", "is-active"])
def test_a_timer_is_on_that_is_enabled_and_runs(tmp_path, off):
    assert ask(tmp_path, f'[ "$1" != {off} ]') == ObservedWatch()
