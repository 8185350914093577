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
    "zstd",
)
OLDER_GUEST_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "docker.io",
    "fuse-overlayfs",
    "busybox-static",
    "iproute2",
    "perl-base",
    "apparmor",
    "iptables",
    "procps",
)
GUEST_PACKAGES = (*OLDER_GUEST_PACKAGES, "docker-cli")
RUNC_SUITE = "forky"  # where CT 956 has its runc from, which must be 1.3 or later


@dataclass(frozen=True)
class Stack:
    """What a lab is built from: node and guests of one Debian suite, perhaps one older guest."""

    name: str
    suite: str
    older_suite: str | None = None  # of CT 955


STACKS = {
    stack.name: stack
    for stack in (
        # what Proxmox VE 9 is built on, and what many of its containers still are
        Stack("stable", "trixie", older_suite="bookworm"),
        # newer than any Proxmox VE: kernel, LXC, AppArmor and Docker as they will be
        Stack("current", "forky"),
    )
}
DEFAULT = "stable"
#: Names the stack of all commands that are told none.
VARIABLE = "PHOENIX_LAB_STACK"

#: The archive that `pct create` makes a container of, in each stack's own Debian, without Docker.
TEMPLATE = "debian-lab_1_amd64.tar.zst"

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
    packages = (NODE_PACKAGES, GUEST_PACKAGES, OLDER_GUEST_PACKAGES)
    parts = (stack, packages, RUNC_SUITE, TEMPLATE, NODE_SIZE, GUEST_SIZE)
    return digest([HERE / "build.py", HERE / "ext4.py", *tree(SCRIPTS)], seed=repr(parts))


def image_key(stack: Stack) -> str:
    """Key of the provisioned image: changes with the trees' key and with the node's files."""
    return digest([HERE / "provision.py", *tree(NODE_FILES)], seed=trees_key(stack))


def guests(trees: Path) -> list[Path]:
    """The images that containers' disks lie over, in the order in which a node has them."""
    return [path for name in ("guest", "older") if (path := trees / f"{name}.ext4").exists()]


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
