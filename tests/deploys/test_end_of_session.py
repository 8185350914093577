"""How a session of pytest ends in which pyinfra ran."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
END = """\
import os, resource, shutil, sys
import gevent
import pyinfra_cli
import tests.conftest

gevent.get_hub()
for number in range(200):
    os.makedirs(f"{sys.argv[1]}/{number}")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
tests.conftest.pytest_sessionfinish()
shutil.rmtree(sys.argv[1])
"""


def test_more_folders_than_descriptors_can_be_removed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", END, tmp_path / "old"], cwd=REPO, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
