"""remove-packages.sh against a guest with a dpkg database in a file."""

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "templates/node/remove-packages.sh"

LXC_ATTACH = """
while [ "$1" != -- ]; do shift; done
shift
echo "$*" >>"$FAKE/calls"
case "$1 $2" in
dpkg-query*) cat "$FAKE/dpkg" ;;
'apk info') cat "$FAKE/apk" ;;
'apk del') : >"$FAKE/apk" ;;
'dpkg --purge') [ -e "$FAKE/needed" ] && echo 'dpkg: dependency problems' || : >"$FAKE/dpkg" ;;
sh*) cat "$FAKE/held" 2>/dev/null ;;
esac
"""


class Guest:
    def __init__(self, folder):
        self.folder = folder
        (folder / "lxc-attach").write_text(f"#!/bin/sh\n{LXC_ATTACH}")
        (folder / "lxc-attach").chmod(0o755)
        (folder / "dpkg").write_text("ii  docker.io\nii  fuse-overlayfs\nii  libfuse3-4:amd64\n")
        (folder / "apk").write_text("docker\nfuse-overlayfs\n")

    def remove(self, *packages, manager="apt"):
        return subprocess.run(
            ["sh", "-s", "910", "r2", manager, *packages],
            input=SCRIPT.read_text(),
            env={
                **os.environ,
                "PHOENIX_ROOT": str(self.folder),
                "PHOENIX_PATH": str(self.folder),
                "FAKE": str(self.folder),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self):
        return (self.folder / "calls").read_text()

    @property
    def journal(self):
        path = self.folder / "var/lib/phoenix-harden/runs/r2/journal.jsonl"
        if not path.exists():
            return []
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [(entry["event"], entry["removed"]) for entry in entries]


@pytest.fixture
def guest(tmp_path):
    return Guest(tmp_path)


def test_all_that_the_run_brought_goes_in_one_command(guest):
    done = guest.remove("fuse-overlayfs", "libfuse3-4:amd64")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "CT 910: removed: fuse-overlayfs libfuse3-4:amd64\n"
    assert "dpkg --purge fuse-overlayfs libfuse3-4:amd64\n" in guest.calls
    both = "fuse-overlayfs libfuse3-4:amd64"
    assert guest.journal == [("intent", both), ("done", both)]


def test_alpine_has_apk(guest):
    assert guest.remove("fuse-overlayfs", manager="apk").returncode == 0
    assert "apk del fuse-overlayfs\n" in guest.calls


def test_what_is_gone_already_is_nothing_to_do(guest):
    done = guest.remove("fuse3")
    assert (done.returncode, done.stdout, guest.journal) == (0, "", [])


def test_fuse_overlayfs_stays_while_docker_keeps_something_with_it(guest):
    (guest.folder / "held").write_text("Docker runs on fuse-overlayfs\n3 layers are there\n")
    done = guest.remove("fuse-overlayfs")
    assert done.returncode == 0
    assert done.stdout == (
        "CT 910: fuse-overlayfs stays: Docker runs on fuse-overlayfs, 3 layers are there\n"
    )
    assert "--purge" not in guest.calls


def test_what_another_package_needs_stays_and_says_why(guest):
    (guest.folder / "needed").touch()
    done = guest.remove("libfuse3-4:amd64")
    assert done.returncode == 0
    assert "dpkg: dependency problems" in done.stdout
    assert done.stdout.endswith("CT 910: libfuse3-4:amd64 stays: something needs it, see above\n")
    assert guest.journal[-1] == ("failed", "libfuse3-4:amd64")
