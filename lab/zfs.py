"""ZFS in a running node, and CT 959 on it: compiled once for its kernel, for who asks for it.

To compile it takes more than ten minutes of processor time, so no image waits for it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab import cache, recipe, saved
from lab.build import mmdebstrap, quoted, workshop
from lab.errors import LabError
from lab.progress import step
from lab.recipe import Stack
from lab.ssh import SshTarget

#: Where Debian has ZFS, and what it is compiled with beside the headers of the kernel.
COMPONENTS = "--components=main,contrib"
PACKAGES = ("gcc", "make", "libc6-dev", "file")

_SCRIPT = recipe.HERE / "zfs.sh"
_PUT_IN = "tar -C / --keep-directory-symlink -xf - && depmod && ldconfig && modprobe zfs"


def put_in(stack: Stack, target: SshTarget) -> None:
    """Give the node ZFS, the pool ``tank`` and CT 959, which is stopped; until the next reset."""
    kernel = target.run("uname -r").stdout.strip()
    if not re.fullmatch(r"[0-9][0-9a-z.+~-]*-amd64", kernel):
        raise LabError(f"the node's kernel {kernel!r} is none of Debian's")
    name = f"{stack.name}.zfs-{key(stack, kernel)}"
    built = cache.entry(name, lambda folder: _build(folder, stack, kernel), saved.clean_up)
    cache.prune(built)
    with step(f"putting ZFS into the node and making CT 959 ({kernel})"):
        target.run(_PUT_IN, stdin=(built / "zfs.tar").read_bytes())
        target.run("/usr/lib/phoenix-lab/zfs-guest")


def key(stack: Stack, kernel: str) -> str:
    """Key of what was compiled: changes with the suite, the kernel and how it is done."""
    seed = repr((stack.suite, kernel, COMPONENTS, PACKAGES))
    return recipe.digest([Path(__file__), _SCRIPT, recipe.HERE / "build.py"], seed=seed)


def _build(folder: Path, stack: Stack, kernel: str) -> None:
    with step(f"compiling ZFS for {kernel}"), workshop(folder) as work:
        script, packed = work / _SCRIPT.name, work / "out/zfs.tar"
        shutil.copy(_SCRIPT, script)
        script.chmod(0o755)
        packages = ",".join((f"linux-headers-{kernel}", *PACKAGES))
        options = ("--variant=minbase", COMPONENTS, f"--include={packages}")
        hook = f'--customize-hook={quoted(script)} "$1" {quoted(packed)}'
        mmdebstrap(work, "zfs", stack.suite, *options, hook)
        shutil.copyfile(packed, folder / "zfs.tar")
