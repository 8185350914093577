"""QEMU as the lab runs it: of one Debian suite, unpacked into the cache, installed nowhere.

Without KVM its version matters: for a start of Docker QEMU 10 takes a fifth less of the processor
than the 7.2 of Debian 12. It runs with the loader and the libraries that it was built with,
whatever this machine has.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab import cache, recipe
from lab.build import mmdebstrap, workshop
from lab.errors import LabError
from lab.progress import step

#: Begins the name of the cached folder, as a stack's name begins those of its own.
NAME = "qemu"
SUITE = "trixie"
PACKAGES = "qemu-system-x86,qemu-utils"

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_FIRMWARE = ("usr/share/qemu", "usr/share/seabios")
#: What is kept of the packages.
_KEPT = ("usr/lib64", _LIBRARIES, "usr/bin/qemu-system-x86_64", "usr/bin/qemu-img", *_FIRMWARE)


def system() -> list[str]:
    """The words that run ``qemu-system-x86_64``; its tree is unpacked first if need be."""
    tree = _tree()
    firmware = (word for folder in _FIRMWARE for word in ("-L", str(tree / folder)))
    return [*_words(tree, "qemu-system-x86_64"), *firmware]


def image_tool() -> list[str]:
    """The words that run ``qemu-img``."""
    return _words(_tree(), "qemu-img")


def version() -> str:
    """The first line of ``qemu-system-x86_64 --version``."""
    done = subprocess.run([*system(), "--version"], capture_output=True, text=True)
    return done.stdout.partition("\n")[0]


def _words(tree: Path, program: str) -> list[str]:
    loader = tree / "usr/lib64/ld-linux-x86-64.so.2"
    return [str(loader), "--library-path", str(tree / _LIBRARIES), str(tree / "usr/bin" / program)]


def _tree() -> Path:
    files = (Path(__file__), recipe.HERE / "build.py")
    key = recipe.digest(files, seed=f"{SUITE} {PACKAGES}")
    tree = cache.entry(f"{NAME}.tree-{key}", _unpack)
    cache.prune(tree)
    return tree


def _unpack(folder: Path) -> None:
    with step("unpacking QEMU"), workshop(folder) as work:
        packed = work / "out/packages.tar"
        options = ("--variant=extract", f"--include={PACKAGES}")
        mmdebstrap(work, NAME, SUITE, *options, output=packed)
        members = [f"./{name}" for name in _KEPT]
        command = ["tar", "--no-same-owner", "-xf", str(packed), "-C", str(folder), *members]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"QEMU's packages cannot be unpacked: {done.stderr.strip()}")
