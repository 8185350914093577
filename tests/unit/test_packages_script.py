"""packages.sh against a guest with a dpkg database in a file, and a fake apt."""

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "templates/node/packages.sh"

LXC_ATTACH = """
while [ "$1" != -- ]; do shift; done
shift
echo "$*" >>"$FAKE/calls"
case "$1 $2" in
dpkg-query*) cat "$FAKE/dpkg" ;;
'apk info') cat "$FAKE/apk" ;;
'apk add') echo fuse-overlayfs >>"$FAKE/apk" ;;
'apk del') : >"$FAKE/apk" ;;
apt-get*)
    case "$*" in
    *install*)
        [ -e "$FAKE/locked" ] && rm "$FAKE/locked" && echo 'E: Could not get lock' && exit 100
        [ -e "$FAKE/cut" ] &&
            echo "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'" && exit 100
        [ -e "$FAKE/unknown" ] && echo 'E: Unable to locate package' && exit 100
        printf 'ii  fuse-overlayfs\\nii  libfuse3-4:amd64\\n' >>"$FAKE/dpkg"
        sed -i '/^rc /d' "$FAKE/dpkg"
        ;;
    *update*) exit 100 ;;
    esac
    ;;
'dpkg --force-confdef') rm "$FAKE/cut" ;;
'dpkg --purge') [ -e "$FAKE/needed" ] && echo 'dpkg: dependency problems' || : >"$FAKE/dpkg" ;;
sh*) cat "$FAKE/held" 2>/dev/null ;;
esac
"""


class Guest:
    """A guest that lacks fuse-overlayfs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "lxc-attach").write_text(f"#!/bin/sh\n{LXC_ATTACH}")
        (folder / "lxc-attach").chmod(0o755)
        (folder / "dpkg").write_text("ii  docker.io\nrc  fuse-overlayfs\nii  libc6:amd64\n")
        (folder / "apk").write_text("docker\n")

    def install(self, *packages: str, run: str = "r1", manager: str = "apt"):
        return self.sh("install", "910", run, manager, *packages)

    def remove(self, *packages: str, run: str = "r1", manager: str = "apt"):
        return self.sh("remove", "910", run, manager, *packages)

    def sh(self, *arguments: str):
        tools = {"PHOENIX_ROOT": str(self.folder), "PHOENIX_PATH": str(self.folder)}
        return subprocess.run(
            ["sh", "-s", *arguments],
            input=SCRIPT.read_text(),
            env={**os.environ, **tools, "FAKE": str(self.folder), "PHOENIX_PATIENCE": "0"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()

    def journal(self, key: str) -> list[tuple[str, str]]:
        """Its events, each with the packages that it names under this key."""
        path = self.folder / "var/lib/phoenix-harden/runs/r1/journal.jsonl"
        if not path.exists():
            return []
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        assert all(entry["ctid"] == 910 for entry in entries)
        return [(entry["event"], entry[key]) for entry in entries]


@pytest.fixture
def guest(tmp_path):
    return Guest(tmp_path)


@pytest.fixture
def equipped(guest):
    """A guest that has what a run brought."""
    (guest.folder / "dpkg").write_text("ii  docker.io\nii  fuse-overlayfs\nii  libfuse3-4:amd64\n")
    (guest.folder / "apk").write_text("docker\nfuse-overlayfs\n")
    return guest


def test_a_dpkg_that_was_cut_short_is_finished_first(guest):
    (guest.folder / "cut").touch()
    done = guest.install("fuse-overlayfs")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "CT 910: installed: fuse-overlayfs libfuse3-4:amd64",
    )
    assert "dpkg --force-confdef --force-confold --configure -a\n" in guest.calls


def test_what_is_missing_comes_in_and_the_journal_names_its_dependencies_too(guest):
    done = guest.install("docker.io", "libc6", "fuse-overlayfs")
    assert (done.returncode, done.stderr) == (0, "")
    assert guest.journal("packages") == [
        ("intent", "fuse-overlayfs"),
        ("done", "fuse-overlayfs libfuse3-4:amd64"),
    ]
    assert "install --no-upgrade fuse-overlayfs\n" in guest.calls
    assert "DPkg::Lock::Timeout=300" in guest.calls


def test_what_is_there_costs_no_installation_and_no_line_in_the_journal(guest):
    assert guest.install("docker.io", "libc6").returncode == 0
    assert "apt-get" not in guest.calls
    assert not (guest.folder / "var/lib/phoenix-harden/runs").exists()


def test_removed_with_its_configuration_left_is_not_installed(guest):
    assert guest.install("fuse-overlayfs").returncode == 0
    assert "install --no-upgrade fuse-overlayfs" in guest.calls


def test_a_lock_that_is_held_is_waited_for(guest):
    (guest.folder / "locked").touch()
    assert guest.install("fuse-overlayfs").returncode == 0


def test_what_the_guest_does_not_have_afterwards_is_a_failure_whatever_apt_returned(guest):
    (guest.folder / "unknown").touch()
    done = guest.install("fuse-overlayfs")
    assert done.returncode == 1
    assert "E: Unable to locate package" in done.stdout
    assert done.stdout.endswith("CT 910: not installed: fuse-overlayfs\n")
    assert guest.journal("packages") == [("intent", "fuse-overlayfs"), ("failed", "")]


def test_alpine_installs_by_apk(guest):
    assert guest.install("fuse-overlayfs", manager="apk").returncode == 0
    assert "apk add --no-cache fuse-overlayfs\n" in guest.calls
    assert guest.journal("packages")[-1] == ("done", "fuse-overlayfs")


def test_without_a_run_nothing_is_written_down(guest):
    assert guest.install("fuse-overlayfs", run="-").returncode == 0
    assert not (guest.folder / "var/lib/phoenix-harden/runs").exists()


def test_all_that_the_run_brought_goes_in_one_command(equipped):
    done = equipped.remove("fuse-overlayfs", "libfuse3-4:amd64")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "CT 910: removed: fuse-overlayfs libfuse3-4:amd64\n"
    assert "dpkg --purge fuse-overlayfs libfuse3-4:amd64\n" in equipped.calls
    both = "fuse-overlayfs libfuse3-4:amd64"
    assert equipped.journal("removed") == [("intent", both), ("done", both)]


def test_alpine_removes_by_apk(equipped):
    assert equipped.remove("fuse-overlayfs", manager="apk").returncode == 0
    assert "apk del fuse-overlayfs\n" in equipped.calls


def test_what_is_gone_already_is_nothing_to_do(equipped):
    done = equipped.remove("fuse3")
    assert (done.returncode, done.stdout, equipped.journal("removed")) == (0, "", [])


def test_fuse_overlayfs_stays_while_docker_keeps_something_with_it(equipped):
    (equipped.folder / "held").write_text("Docker runs on fuse-overlayfs\n3 layers are there\n")
    done = equipped.remove("fuse-overlayfs")
    assert done.returncode == 0
    assert done.stdout == (
        "CT 910: fuse-overlayfs stays: Docker runs on fuse-overlayfs, 3 layers are there\n"
    )
    assert "--purge" not in equipped.calls


def test_what_another_package_needs_stays_and_says_why(equipped):
    (equipped.folder / "needed").touch()
    done = equipped.remove("libfuse3-4:amd64")
    assert done.returncode == 0
    assert "dpkg: dependency problems" in done.stdout
    assert done.stdout.endswith("CT 910: libfuse3-4:amd64 stays: something needs it, see above\n")
    assert equipped.journal("removed")[-1] == ("failed", "libfuse3-4:amd64")
