"""What `pct create` and `pct clone` do inside a new container (PVE::LXC::Setup).

Its system and architecture are found out; its name, its hosts file, its name servers and its
machine id are its own. The template is trusted here: links are followed inside it, by name.
"""

from __future__ import annotations

import os
import re

from . import disks, node, schema
from .conf import Conf
from .node import PctError
from .storage import run

_OWN = "alpine archlinux centos debian devuan fedora gentoo nixos opensuse ubuntu"
_SYSTEMS = {name: name for name in _OWN.split()} | {
    "arch": "archlinux",
    "rocky": "centos",
    "almalinux": "centos",
    "sles": "opensuse",
    "opensuse-leap": "opensuse",
    "opensuse-tumbleweed": "opensuse",
}
#: What says which system it is where /etc/os-release does not.
_RELEASE_FILES = {
    "debian_version": "debian",
    "devuan_version": "devuan",
    "fedora-release": "fedora",
    "centos-release": "centos",
    "redhat-release": "centos",
    "arch-release": "archlinux",
    "alpine-release": "alpine",
    "gentoo-release": "gentoo",
}
#: Machine numbers of ELF, by class (detect_elf_architecture).
_MACHINES = {
    (2, 0x3E): "amd64",
    (1, 0x03): "i386",
    (2, 0xB7): "arm64",
    (1, 0x28): "armhf",
    (1, 0xF3): "riscv32",
    (2, 0xF3): "riscv64",
}


class Guest:
    """The rootfs of a container that does not run; finding it out completes the conf."""

    def __init__(self, conf: Conf, rootfs: str) -> None:
        self.conf = conf
        self.rootfs = rootfs
        if conf.get("ostype") != "unmanaged":
            found = self._system()
            expected = conf.get("ostype")
            if expected not in (None, found):
                node.warn(f"got unexpected ostype ({found} != {expected})")
            conf.options["ostype"] = found
        if conf.get("arch") is None:
            architecture = self._architecture()
            if architecture:
                print(f"Detected container architecture: {architecture}")
            else:
                print("Falling back to amd64.\nUse `pct set VMID --arch ARCH` to change.")
            conf.options["arch"] = architecture or "amd64"

    def set_up(self) -> None:
        """A new container's files (post_create_hook)."""
        if self.conf.get("ostype") == "unmanaged":
            return
        self.name()
        self._resolve()
        self.forget_machine()

    def name(self) -> None:
        """Its host name, and the address of it."""
        name = self.conf.get("hostname") or "localhost"
        net = schema.parts(schema.NETWORK, self.conf.get("net0") or "name=none")
        address = net.get("ip", "").partition("/")[0]
        address = address if re.fullmatch(r"[\d.]+", address) else "127.0.1.1"
        self._write("/etc/hostname", f"{name.partition('.')[0]}\n")
        self._write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")

    def forget_machine(self) -> None:
        """It is no copy of another machine (clear_machine_id)."""
        if os.path.exists(self._at("/etc/machine-id")):
            # a missing one would mean a first boot, whose presets take an emulated node minutes
            self._write("/etc/machine-id", "")

    def _resolve(self) -> None:
        given = self.conf.get("nameserver")
        host = (node.read(node.path("/etc/resolv.conf")) or b"").decode(errors="replace")
        servers = given.split() if given else re.findall(r"(?m)^nameserver\s+(\S+)", host)
        domains = (self.conf.get("searchdomain") or "").split()
        lines = [f"search {' '.join(domains)}"] if domains else []
        lines += [f"nameserver {server}" for server in servers]
        self._write("/etc/resolv.conf", "".join(f"{line}\n" for line in lines))

    def _system(self) -> str:
        release = (node.read(self._at("/etc/os-release")) or b"").decode(errors="replace")
        if named := re.search(r'(?m)^ID="?([^"\n]*)"?$', release):
            if named[1] in _SYSTEMS:
                return _SYSTEMS[named[1]]
            node.warn(f"unknown ID '{named[1]}' in /etc/os-release file, trying fallback detection")
        for file, system in _RELEASE_FILES.items():
            if os.path.exists(self._at(f"/etc/{file}")):
                return system
        if release:
            raise PctError("unable to detect OS distribution")
        node.warn(
            "/etc/os-release file not found and autodetection failed, falling back to 'unmanaged'"
        )
        return "unmanaged"

    def _architecture(self) -> str | None:
        head = node.read(self._at("/bin/sh")) or b""
        if head[:4] != b"\x7fELF":
            return None
        return _MACHINES.get((head[4], int.from_bytes(head[18:20], "little")))

    def _at(self, path: str) -> str:
        """Where a path of the container is; links are followed as the container follows them."""
        for _ in range(40):
            parts = path.split("/")
            for count in range(2, len(parts) + 1):
                begin = "/".join(parts[:count])
                if os.path.islink(self.rootfs + begin):
                    target = os.path.join(os.path.dirname(begin), os.readlink(self.rootfs + begin))
                    path = os.path.normpath("/".join([target, *parts[count:]]))
                    break
            else:
                return self.rootfs + path
        raise PctError(f"too many links on the way to {path}")

    def _write(self, path: str, text: str) -> None:
        """A new file of the container's root, in the place of whatever is there."""
        node.replace(self.rootfs + path, text.encode())
        run("chown", "{}:{}".format(*disks.root_owner(self.conf)), self.rootfs + path)
