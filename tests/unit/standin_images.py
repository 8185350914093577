"""Templates, images and confs of containers that the stand-in makes and takes away."""

import struct
import tarfile
from io import BytesIO
from pathlib import Path

from standin_node import Node

ELF = b"\x7fELF\x02\x01\x01" + bytes(11) + struct.pack("<H", 0x3E)
DEBIAN = {
    "etc/os-release": b'PRETTY_NAME="Debian"\nID=debian\n',
    "etc/machine-id": b"0123456789abcdef\n",
    "etc/hostname": b"template\n",
    "usr/bin/dash": ELF,
    "dev/null": b"",
}
UNCONFINED = "lxc.apparmor.profile: unconfined\n"


def node_with_template(root: Path) -> Node:
    """A node whose storage `local` has a template of Debian."""
    node = Node(root)
    node.has_storages()
    cache = node.root / "var/lib/vz/template/cache"
    pack(cache / "debian-13.tar.gz", DEBIAN, {"bin": "usr/bin", "usr/bin/sh": "/bin/dash"})
    return node


def pack(file: Path, files: dict[str, bytes], links: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, f"w:{'gz' if file.suffix == '.gz' else ''}") as archive:
        for name, target in links.items():
            link = tarfile.TarInfo(f"./{name}")
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))


def rootfs(node: Node, ctid: str, path: str) -> Path:
    return node.root / f"var/lib/lxc/{ctid}/rootfs" / path


def image(node: Node, ctid: str, name: str) -> Path:
    return node.root / f"var/lib/vz/images/{ctid}/{name}"


def has_image(node: Node, ctid: str, name: str, text: str = "image") -> None:
    image(node, ctid, name).parent.mkdir(parents=True, exist_ok=True)
    image(node, ctid, name).write_text(text)


def plain(ctid: str, disk: str = "", options: str = "") -> str:
    disk = disk or f"local:{ctid}/vm-{ctid}-disk-0.raw"
    return (
        "arch: amd64\nhostname: web\nmemory: 256\n"
        "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\nostype: debian\n"
        f"rootfs: {disk},size=4G\nswap: 0\n{options}unprivileged: 1\n{UNCONFINED}"
    )
