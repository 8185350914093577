"""Built images in the user's cache folder: whole or not there, one build of a stack at a time.

Their names are ``STACK.KIND-KEY``.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from lab.errors import LabError
from lab.progress import say, step

UNFINISHED = ".unfinished"
PROC = Path("/proc")
KEPT = 2  # of each stack and kind, those that were used last


def root() -> Path:
    """``$XDG_CACHE_HOME/phoenix-harden``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "phoenix-harden"


@contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold the lock file; when another process has it, say so and wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"waiting for {waiting_for}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry(
    name: str,
    build: Callable[[Path], None],
    clean_up: Callable[[Path], None] = lambda _folder: None,
) -> Path:
    """Return the cached folder *name*; when it is not there yet, build it.

    *build* fills a folder beside the final place, which is then renamed: what an interrupted
    build leaves is never used. *clean_up* sees such left-overs before they are removed.
    """
    place = root() / name
    if place.is_dir():
        return place
    with _building(name):
        if place.is_dir():
            return place
        stack, _, _ = name.partition(".")
        for left in root().glob(f"{stack}.*{UNFINISHED}"):
            if _is_at_work(left):
                raise LabError(f"an earlier build of {left.stem} goes on: wait until it has ended")
            _unmount_below(left)
            say(f"an earlier build of {left.stem} was interrupted: removing it")
            clean_up(left)
            shutil.rmtree(left)
        unfinished = root() / f"{name}{UNFINISHED}"
        unfinished.mkdir()
        build(unfinished)
        (unfinished / "build-id").write_text(uuid.uuid4().hex)
        unfinished.rename(place)
    return place


def build_id(place: Path) -> str:
    """Tells two builds of the same recipe apart: an overlay only fits the one it was made on."""
    try:
        return (place / "build-id").read_text()
    except OSError:
        return ""


def prune(used: Path) -> None:
    """Note that *used* is in use; remove the oldest others of its kind."""
    (used / "build-id").touch()
    kind, _, _ = used.name.partition("-")
    if len([*root().glob(f"{kind}-*")]) <= KEPT:
        return  # not worth waiting for somebody's build
    with _building(kind):
        places = [path for path in root().glob(f"{kind}-*") if (path / "build-id").exists()]
        places.sort(key=lambda path: (path / "build-id").stat().st_mtime, reverse=True)
        for path in places[KEPT:]:
            _remove(path)


def drop(place: Path, build: str) -> None:
    """Remove what turned out to be of no use, unless it is of another build by now."""
    with _building(place.name):
        if build_id(place) == build:
            _remove(place)


def undisturbed(place: Path) -> AbstractContextManager[None]:
    """Held while something is read: nothing is removed of its stack meanwhile."""
    return _building(place.name)


def purge(stack: str) -> None:
    """Remove everything that was built of a stack."""
    with _building(stack):
        for path in root().glob(f"{stack}.*"):
            if path.is_dir():
                _remove(path)


def _remove(place: Path) -> None:
    """Whoever is interrupted here leaves nothing that is taken for whole."""
    left = place if place.suffix == UNFINISHED else place.with_name(f"{place.name}{UNFINISHED}")
    place.rename(left)
    shutil.rmtree(left)


def _is_at_work(folder: Path) -> bool:
    """Whether a process is in there: mmdebstrap, which is started there, may outlive us."""
    inside = f"{folder.resolve()}/"
    for link in (*PROC.glob("[0-9]*/cwd"), *PROC.glob("[0-9]*/root")):
        with suppress(OSError):  # it has ended, or is somebody else's
            if f"{link.readlink()}/".startswith(inside):
                return True
    return False


def _unmount_below(folder: Path) -> None:
    """Take out what a build that was killed left mounted: it is not ours to remove."""
    inside = f"{folder.resolve()}/"
    lines = (PROC / "self/mountinfo").read_text(errors="replace").splitlines()
    points = (re.sub(r"\\([0-7]{3})", _unescaped, line.split(" ")[4]) for line in lines)
    for point in reversed([point for point in points if point.startswith(inside)]):
        done = subprocess.run(["umount", point], capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{point} is left of an earlier build: {done.stderr.strip()}")


def _unescaped(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8))


def _building(name: str) -> AbstractContextManager[None]:
    """Held while anything is built or removed of one stack, which a name begins with."""
    stack, _, _ = name.partition(".")
    return locked(root() / f"{stack}.lock", f"another build of the {stack} lab's images")
