"""docker-ready.sh, with a fake client: it waits for dockerd and says what that says of itself."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "templates/guest/docker-ready.sh"


@pytest.fixture
def ready(tmp_path):
    """Run it with this client, which counts its calls in `$FAKE/asked`."""

    def run(client, failed=False):
        tools = {
            "docker": f'echo "$*" >>"$FAKE/asked"\n{client}',
            "systemctl": f"exit {0 if failed else 1}",
            "sleep": "",
        }
        for name, text in tools.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            ["sh", SCRIPT],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAKE": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done, (tmp_path / "asked").read_text().splitlines()

    return run


def test_where_dockerd_answers_it_is_asked_once_for_all(ready):
    done, asked = ready("echo 'overlay2 [name=apparmor name=seccomp,profile=builtin]'")
    assert done.stdout == "overlay2 [name=apparmor name=seccomp,profile=builtin]\n"
    assert asked == ["info --format {{.Driver}} {{.SecurityOptions}}"]


@pytest.mark.parametrize(
    "down",
    [
        # before 23, and from then on: a template of nothing is no failure
        "echo 'template: nil pointer' >&2; exit 64",
        "echo ' []'; echo 'Cannot connect to the Docker daemon' >&2",
        "",
    ],
)
def test_until_dockerd_answers_it_is_asked_again(ready, down):
    up = 'if [ "$(wc -l <"$FAKE/asked")" -lt 3 ]; then {}\n:; exit; fi; echo "vfs []"'
    done, asked = ready(up.format(down))
    assert (done.returncode, done.stdout, len(asked)) == (0, "vfs []\n", 3)


def test_a_service_that_has_failed_is_not_waited_for(ready):
    done, asked = ready("exit 1", failed=True)
    assert (done.returncode, done.stdout, len(asked)) == (1, "", 1)


def test_of_an_answer_without_end_a_part_is_enough(ready):
    done, _ = ready("yes a")
    assert done.returncode == 0
    assert len(done.stdout) <= 4097
