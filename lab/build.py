"""Stage 1: the Debian trees of node and guest as ext4 images, not booted yet.

Works as root and, in a user namespace, as anybody else.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lab import recipe
from lab.errors import LabError
from lab.ext4 import shift_owners
from lab.progress import step
from lab.recipe import Stack
from lab.tools import search_path

CONTAINER_ROOT = 100000  # /etc/subuid gives root this range
FREE_NEEDED = 8 << 30
STALE_RELEASE = 'Acquire::Check-Valid-Until "false"'


def build_trees(folder: Path, stack: Stack) -> None:
    """Fill *folder* with node.ext4, guest.ext4, vmlinuz, initrd, apt/, template/ and runc.

    A stack with an older guest has its older.ext4, too.

    The file systems have journals: without one, losing the power may cost any file.
    """
    if shutil.disk_usage(folder).free < FREE_NEEDED:
        raise LabError(f"less than {FREE_NEEDED >> 30} GiB free for {folder}: make room there")
    with workshop(folder) as work:
        jobs = (_node, _guest, _runc, *((_older_guest,) if stack.older_suite else ()))
        with step("building Debian trees of node and containers"), ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(job, work, stack) for job in jobs]:
                done.result()
        with step("collecting images"):
            for path in sorted((work / "out").iterdir()):
                _take(path, folder / path.name)
        for guest in recipe.guests(folder):
            shift_owners(guest, CONTAINER_ROOT)


def _node(work: Path, stack: Stack) -> None:
    out = work / "out"
    mmdebstrap(
        work,
        "node",
        stack.suite,
        "--variant=minbase",
        f"--include={','.join(recipe.NODE_PACKAGES)}",
        f'--essential-hook={quoted(work / "node-initramfs.sh")} "$1"',
        f'--customize-hook={quoted(work / "node-setup.sh")} "$1"',
        f'--customize-hook={quoted(work / "take-kernel.sh")} "$1" {quoted(out)}',
        f'--customize-hook={quoted(work / "make-image.sh")} "$1" {quoted(out / "node.ext4")} '
        f"{recipe.NODE_SIZE} has_journal",
    )


def _guest(work: Path, stack: Stack) -> None:
    packages = f'{quoted(work / "guest-packages.sh")} "$1" {quoted(work / "out/apt")}'
    archive = quoted(work / "out/template" / recipe.TEMPLATE)
    template = f'{quoted(work / "guest-template.sh")} "$1" {archive}'
    hooks = (f"--customize-hook={packages}", f"--customize-hook={template}")
    _guest_tree(work, "guest", stack.suite, recipe.GUEST_PACKAGES, *hooks)


def _older_guest(work: Path, stack: Stack) -> None:
    assert stack.older_suite
    _guest_tree(work, "older", stack.older_suite, recipe.OLDER_GUEST_PACKAGES)


def _guest_tree(
    work: Path, name: str, suite: str, packages: tuple[str, ...], before: str = "", after: str = ""
) -> None:
    """`before` and `after`: hooks of their own, before and after the image is made."""
    image = work / "out" / f"{name}.ext4"
    mmdebstrap(
        work,
        name,
        suite,
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *([before] if before else []),
        f'--customize-hook={quoted(work / "guest-setup.sh")} "$1"',
        f'--customize-hook={quoted(work / "make-image.sh")} "$1" {quoted(image)} '
        f"{recipe.GUEST_SIZE} has_journal,^metadata_csum",
        *([after] if after else []),
    )


def _runc(work: Path, _stack: Stack) -> None:
    mmdebstrap(
        work,
        "runc",
        recipe.RUNC_SUITE,
        "--variant=extract",
        "--include=runc",
        f'--extract-hook=cp "$1/usr/sbin/runc" {quoted(work / "out")}',
    )


def mmdebstrap(
    work: Path, name: str, suite: str, *options: str, output: Path | None = None
) -> None:
    """Bootstrap a tree in *work*; *output*: a tar of it, else what its hooks make is all of it.

    Raises LabError when that fails; what it said is kept then.
    """
    log = work / f"{name}.log"
    form = "null" if output is None else "tar"
    command = ["mmdebstrap", f"--format={form}", f"--aptopt={STALE_RELEASE}", *options, suite]
    environment = {**os.environ, "PATH": search_path(), "TMPDIR": str(work)}
    with log.open("w") as said:
        done = subprocess.run(
            [*command, str(output or "/dev/null")],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        kept = Path(tempfile.gettempdir()) / f"phoenix-lab-{name}-{os.getpid()}.log"
        shutil.copyfile(log, kept)
        lines = [line for line in log.read_text().splitlines() if line.startswith(("E:", "W:"))]
        reason = next((line for line in lines if line.startswith("E:")), "no reason given")
        raise LabError(f"mmdebstrap could not build the {name} tree: {reason} (log: {kept})")


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A folder that the hooks can write to: in a user namespace they run as somebody else."""
    if os.geteuid() == 0:
        work = folder / "work"
        work.mkdir()
    else:
        work = Path(tempfile.mkdtemp(prefix="phoenix-lab-", dir="/var/tmp"))
        work.chmod(0o1777)
    try:
        for name in ("out", "out/apt", "out/template"):
            (work / name).mkdir()
            (work / name).chmod(0o777)
        for script in recipe.tree(recipe.SCRIPTS):
            shutil.copy(script, work / script.name)
            (work / script.name).chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _take(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            _take(path, target / path.name)
    elif (
        source.stat().st_uid == os.geteuid() and source.stat().st_dev == target.parent.stat().st_dev
    ):
        source.rename(target)
    else:
        subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)


def quoted(path: Path) -> str:
    """As a word of the shell that runs the hooks."""
    return shlex.quote(str(path))
