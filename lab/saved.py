"""Stage 3: the node booted once and saved as ``clean``; each checkout begins with a copy of that.

A copy is loaded in seconds, a boot takes minutes without KVM.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from lab import cache, emulator, recipe
from lab.errors import LabError
from lab.machine import Machine, fingerprint
from lab.progress import Watch, say, step
from lab.recipe import Stack
from lab.ssh import SshTarget
from lab.versions import changes, seen, versions

TAG = "clean"
#: The node accepts this key, and no other.
_KEYS = ("key", "key.pub")
#: Of what the node consists, part by part.
_VERSIONS = "versions.json"
#: How it is booted and saved.
_HOW = (recipe.HERE / "saved.py", recipe.HERE / "machine.py")


def place(stack: Stack, image: Path, trees: Path, accel: str) -> Path:
    """The cached folder with the saved node, which is booted first if need be.

    A saved state fits the image that it was booted from, and the machine and the QEMU that saved
    it. Says what has another version in it than was seen to work.
    """
    made_of = f"{cache.build_id(image)} {fingerprint(accel)} {emulator.version()}"
    name = f"{stack.name}.clean-{recipe.digest(_HOW, seed=made_of)}"
    found = cache.entry(name, lambda folder: _boot(folder, image, trees, accel), clean_up)
    cache.prune(found)
    for change in changes(seen(stack), json.loads((found / _VERSIONS).read_text())):
        say(f"another version than was seen to work: {change}")
    return found


def copy(saved: Path, folder: Path) -> None:
    """Put the node's disk, with its saved state in it, and its key into a checkout's folder."""
    source, target = Machine(saved, Path()).disk, Machine(folder, Path()).disk
    command = ["cp", "--reflink=auto", "--sparse=always", str(source), str(target)]
    with step("copying the saved node"), cache.undisturbed(saved):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"the saved node cannot be copied: {done.stderr.strip()}")
        try:
            for name in _KEYS:
                shutil.copy2(saved / name, folder / name)
        except OSError as error:
            raise LabError(f"the saved node's key cannot be copied: {error}") from None


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


def _boot(folder: Path, image: Path, trees: Path, accel: str) -> None:
    machine = Machine(folder, trees)
    machine.make_disk(image / "disk.qcow2", "qcow2")
    try:
        target = machine.start(accel=accel)
        wait_booted(machine, target, f" ({accel})")
        now = versions(target)
        say(", ".join(f"{part} {version}" for part, version in now.items()))
        with step("saving the state clean"):
            target.run("sync")
            target.hang_up()
            machine.save(TAG)
    finally:
        machine.end()
    for path in folder.iterdir():
        if path != machine.disk and path.name not in _KEYS:
            path.unlink()
    (folder / _VERSIONS).write_text(json.dumps(now, indent=2) + "\n")
