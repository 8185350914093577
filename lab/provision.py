"""Stage 2: boots the bare node once and makes it a Proxmox-like one with its containers."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from lab import recipe
from lab.accel import choose
from lab.errors import LabError
from lab.machine import Machine
from lab.progress import say, step

BOOT_TIMEOUT = 300.0
PROVISION_TIMEOUT = 900.0


def build_image(folder: Path, trees: Path) -> None:
    """Fill *folder* with disk.qcow2, an overlay over the node's tree in *trees*."""
    machine = Machine(folder, trees)
    machine.make_disk(Path("..") / trees.name / "node.ext4", "raw")
    accel = choose(trees / "vmlinuz")
    try:
        target = machine.start(accel=accel)
        with step(f"booting the bare node ({accel})"):
            target.wait(BOOT_TIMEOUT, machine.check_alive)
        target.run("mkdir -p /root/lab && tar -x -C /root/lab", stdin=_node_files(trees))
        with step("making its containers"):
            _provision(target.command(["sh /root/lab/provision 2>&1"]))
        target.run("rm -rf /root/lab /root/.ssh /var/log/audit/* && sync && (poweroff &)")
        with step("shutting it down"):
            machine.wait_off(BOOT_TIMEOUT)
    finally:
        machine.end()
    for path in folder.iterdir():
        if path != machine.disk:
            path.unlink()


def end_unfinished(folder: Path, trees: Path) -> None:
    """End the QEMU that an interrupted build may have left running."""
    Machine(folder, trees).end()


def _provision(command: list[str]) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        ["timeout", f"{PROVISION_TIMEOUT:.0f}", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("step: "):
                say(f"    {line.removeprefix('step: ').rstrip()}")
    if process.returncode != 0:
        raise LabError(f"provisioning the node failed: {' / '.join(lines[-3:])}")


def _node_files(trees: Path) -> bytes:
    """A tar of lab/node, the repository's packages and the newer runc."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in recipe.tree(recipe.NODE_FILES):
            archive.add(path, path.relative_to(recipe.NODE_FILES), filter=_as_root)
        for path in sorted((trees / "apt").iterdir()):
            archive.add(path, f"apt/{path.name}", filter=_as_root)
        archive.add(trees / "runc", "runc", filter=_as_root)
    return buffer.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry
