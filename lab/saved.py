"""Stage 3: the node booted once and saved as ``clean``; each checkout begins with a copy of that.

A copy is loaded in seconds, a boot takes minutes without KVM.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab import cache, recipe
from lab.errors import LabError
from lab.machine import Machine, fingerprint
from lab.progress import Watch, say, step
from lab.recipe import Stack
from lab.ssh import SshTarget
from lab.versions import changes, seen, versions

TAG = "clean"
#: What a copy consists of; the node accepts this key, and no other.
_KEYS = ("key", "key.pub")


def place(stack: Stack, image: Path, trees: Path, accel: str) -> Path:
    """The cached folder with the saved node, which is booted first if need be.

    A saved state fits the image that it was booted from, and the machine and the QEMU that saved
    it.
    """
    made_of = f"{cache.build_id(image)} {fingerprint(accel)} {qemu_version()}"
    name = f"{stack.name}.clean-{recipe.digest([], seed=made_of)}"
    found = cache.entry(name, lambda folder: _boot(folder, stack, image, trees, accel), clean_up)
    cache.prune(found)
    return found


def copy(saved: Path, folder: Path) -> None:
    """Put the node's disk, with its saved state in it, and its key into a checkout's folder."""
    source, target = Machine(saved, Path()).disk, Machine(folder, Path()).disk
    with step("copying the saved node"):
        command = ["cp", "--reflink=auto", "--sparse=always", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"the saved node cannot be copied: {done.stderr.strip()}")
    for name in _KEYS:
        shutil.copy2(saved / name, folder / name)


def clean_up(folder: Path) -> None:
    """End the VM that an interrupted build has left."""
    Machine(folder, Path()).end()


def wait_booted(machine: Machine, target: SshTarget, note: str = "") -> None:
    """Return when all that starts by itself has: the node, its containers, what runs in them."""
    with step(f"booting the node{note}"):
        target.wait(machine.check_alive, Watch(machine.console))
    with step("starting its containers"):
        for line in target.follow("/usr/lib/phoenix-lab/wait-settled"):
            say(f"    {line}")


def qemu_version() -> str:
    """The first line of ``qemu-system-x86_64 --version``."""
    done = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True)
    return done.stdout.partition("\n")[0]


def _boot(folder: Path, stack: Stack, image: Path, trees: Path, accel: str) -> None:
    machine = Machine(folder, trees)
    machine.make_disk(image / "disk.qcow2", "qcow2")
    try:
        target = machine.start(accel=accel)
        wait_booted(machine, target, f" ({accel})")
        now = versions(target)
        say(", ".join(f"{part} {version}" for part, version in now.items()))
        for change in changes(seen(stack), now):
            say(f"another version than was seen to work: {change}")
        with step("saving the state clean"):
            target.run("sync")
            target.hang_up()
            machine.save(TAG)
    finally:
        machine.end()
    for path in folder.iterdir():
        if path != machine.disk and path.name not in _KEYS:
            path.unlink()
