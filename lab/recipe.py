"""What the lab's images are made of, and the keys under which they are cached."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

NODE_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "initramfs-tools",
    "linux-image-amd64",
    "lxc",
    "lxcfs",
    "apparmor",
    "auditd",
    "openssh-server",
    "python3",
    "perl",
    "iproute2",
    "iputils-ping",
    "procps",
    "dmsetup",
    "e2fsprogs",
    "uidmap",
)
GUEST_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "docker.io",
    "docker-cli",
    "fuse-overlayfs",
    "busybox-static",
    "iproute2",
    "perl-base",
    "apparmor",
    "iptables",
    "procps",
)


@dataclass(frozen=True)
class Stack:
    """What a lab is built from: node and guests of one Debian suite."""

    name: str
    suite: str
    guest_suite: str
    runc_suite: str  # where CT 956 has its runc from, which must be 1.3 or later


STACKS = {
    stack.name: stack
    for stack in (
        # what Proxmox VE 9 is built on
        Stack("stable", "trixie", "trixie", "forky"),
        # newer than any Proxmox VE: kernel, LXC, AppArmor and Docker as they will be
        Stack("current", "forky", "forky", "forky"),
    )
}
DEFAULT = "stable"
#: Names the stack of all commands that are told none.
VARIABLE = "PHOENIX_LAB_STACK"

NODE_SIZE = "12G"  # both sparse
GUEST_SIZE = "4G"

HERE = Path(__file__).parent
SCRIPTS = HERE / "recipe"
NODE_FILES = HERE / "node"


def chosen(name: str | None = None) -> Stack:
    """The stack of that name, else the one that the environment names, else the stable one."""
    name = name or os.environ.get(VARIABLE) or DEFAULT
    if name not in STACKS:
        raise LabError(f"no stack is called {name}: there are {', '.join(STACKS)}")
    return STACKS[name]


def trees_key(stack: Stack) -> str:
    """Key of the two Debian trees: changes with the packages and what is done to them."""
    parts = (stack, NODE_PACKAGES, GUEST_PACKAGES, NODE_SIZE, GUEST_SIZE)
    return digest([HERE / "build.py", HERE / "ext4.py", *tree(SCRIPTS)], seed=repr(parts))


def image_key(stack: Stack) -> str:
    """Key of the provisioned image: changes with the trees' key and with the node's files."""
    return digest([HERE / "provision.py", *tree(NODE_FILES)], seed=trees_key(stack))


def tree(folder: Path) -> list[Path]:
    """The files below a folder that belong to the recipe, in a fixed order."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def digest(files: Iterable[Path], seed: str = "") -> str:
    """Hash names, modes (executable or not) and contents; short enough for a folder's name."""
    total = hashlib.sha256(seed.encode())
    for path in files:
        executable = bool(path.stat().st_mode & 0o100)
        name = path.relative_to(HERE) if path.is_relative_to(HERE) else Path(path.name)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name}\0{executable}\0{content}\n".encode())
    return total.hexdigest()[:16]
