"""Built images in the user's cache folder: whole or not there, built by one at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.progress import say, step


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
    build leaves is never used. *clean_up* sees such a left-over before it is removed.
    """
    place = root() / name
    if place.is_dir():
        return place
    with locked(root() / "lock", "another build of the lab's images"):
        if place.is_dir():
            return place
        unfinished = root() / f"{name}.unfinished"
        if unfinished.exists():
            say(f"an earlier build of {name} was interrupted: starting it again")
            clean_up(unfinished)
            shutil.rmtree(unfinished)
        unfinished.mkdir()
        build(unfinished)
        unfinished.rename(place)
    return place


def purge() -> None:
    """Remove everything that was built."""
    with locked(root() / "lock", "another build of the lab's images"):
        for path in root().iterdir():
            if path.is_dir():
                shutil.rmtree(path)
