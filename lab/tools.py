"""The programs that building and running the lab takes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab import cache
from lab.errors import LabError
from lab.progress import step

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "zstd": "zstd",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
#: What only the tests take.
FOR_TESTS = {
    "apparmor_parser": "apparmor",
    # the audit's page is looked at in it
    "chromium": "chromium",
    # shows the man page
    "groff": "groff-base",
    # of the probes (templates/probe): their assemblers, and what runs those of other machines
    "x86_64-linux-gnu-as": "binutils-x86-64-linux-gnu",
    "aarch64-linux-gnu-as": "binutils-aarch64-linux-gnu",
    "arm-linux-gnueabihf-as": "binutils-arm-linux-gnueabihf",
    "qemu-aarch64": "qemu-user",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def find(program: str) -> str | None:
    """Find a program, in the sbin folders too (mke2fs is in none of a user's PATH)."""
    return shutil.which(program, path=search_path())


def search_path() -> str:
    """PATH with the sbin folders."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"])


def missing_packages(*, root: bool, tests: bool) -> list[str]:
    """Debian packages of the programs that are not there; *tests*: those of the tests, too."""
    wanted = PACKAGES | (FOR_TESTS if tests else {})
    packages = {package for program, package in wanted.items() if find(program) is None}
    if not KEYRING.exists():
        packages.add("debian-archive-keyring")
    if not root and find("newuidmap") is None:
        packages.add("uidmap")
    return sorted(packages)


def ensure(*, tests: bool = False) -> None:
    """Install what is missing when root, otherwise name the one command to run."""
    with cache.locked(cache.root() / "tools.lock", "another command that installs packages"):
        _ensure(tests)


def _ensure(tests: bool) -> None:
    root = os.geteuid() == 0
    packages = missing_packages(root=root, tests=tests)
    if not packages:
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if not root or find("apt-get") is None:
        raise LabError(f"missing {', '.join(packages)}: run 'sudo {command}'")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {', '.join(packages)}"):
        for line in ("apt-get -q update", command.replace("-y", "-qy", 1)):
            done = subprocess.run(line.split(), env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise LabError(f"'{command}' failed: {' '.join(reason)}")
