"""What the lab's images are made of, and the keys under which they are cached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

SUITE = "trixie"  # what Proxmox VE 9 is built on
RUNC_SUITE = "forky"  # has a runc >= 1.3

NODE_PACKAGES = [
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
]
GUEST_PACKAGES = [
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
]

NODE_SIZE = "12G"  # both sparse
GUEST_SIZE = "4G"

HERE = Path(__file__).parent
SCRIPTS = HERE / "recipe"
NODE_FILES = HERE / "node"


def trees_key() -> str:
    """Key of the two Debian trees: changes with the packages and what is done to them."""
    return digest([HERE / "recipe.py", HERE / "build.py", HERE / "ext4.py", *tree(SCRIPTS)])


def image_key() -> str:
    """Key of the provisioned image: changes with the trees' key and with the node's files."""
    return digest([HERE / "provision.py", *tree(NODE_FILES)], seed=trees_key())


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
