"""Stage 2: boots the bare node once and makes it a Proxmox-like one with its containers."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from lab import recipe
from lab.accel import choose
from lab.machine import Machine
from lab.progress import Watch, say, step


def build_image(folder: Path, trees: Path) -> None:
    """Fill *folder* with disk.qcow2, an overlay over the node's tree in *trees*."""
    machine = Machine(folder, trees)
    machine.make_disk(Path("..") / trees.name / "node.ext4", "raw")
    accel = choose(trees / "vmlinuz")
    try:
        target = machine.start(accel=accel)
        with step(f"booting the bare node ({accel})"):
            target.wait(machine.check_alive, Watch(machine.console))
        target.run("mkdir -p /root/lab && tar -x -C /root/lab", stdin=_node_files(trees))
        with step("making its containers"):
            for line in target.follow("sh /root/lab/provision"):
                if line.startswith("step: "):
                    say(f"    {line.removeprefix('step: ')}")
        target.run("rm -rf /root/lab /root/.ssh /var/log/audit/* && sync && (poweroff &)")
        with step("shutting it down"):
            machine.wait_off()
    finally:
        machine.end()
    for path in folder.iterdir():
        if path != machine.disk:
            path.unlink()


def _node_files(trees: Path) -> bytes:
    """A tar of lab/node, the repository's packages, the template and the newer runc."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in recipe.tree(recipe.NODE_FILES):
            archive.add(path, path.relative_to(recipe.NODE_FILES), filter=_as_root)
        brought = [path for name in ("apt", "template") for path in (trees / name).iterdir()]
        for path in sorted(brought):
            archive.add(path, path.relative_to(trees), filter=_as_root)
        archive.add(trees / "runc", "runc", filter=_as_root)
    return buffer.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry
