"""stage RUN - lay a run's folder with everything that its commits need; nothing live is touched.

The request: {"containers": {"910": {NAME: TEXT, ...}}, "replace": [910]}. Each named text becomes a
file of RUN/CTID (`node.staged` says which there are); others that are there stay, unless the
container's folder is to be replaced. Beside them lies this program itself, for the commit's unit.

Exit: 0 done · 1 less than 64 MiB are free, or the disk failed · 2 the request is none
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from node.compiled import is_of, with_code
from node.files import make_folder, raw, read, sync_folder, write
from node.main import request
from node.root import STATE, at
from node.say import Stop
from node.staged import NAMES
from node.state import RunFolder, prepare
from phoenix.pve.health import HealthCheck

#: Free space that a run asks for, in bytes: before-images are small, a full disk stops everything.
ROOM = 64 * 1024 * 1024


def main(words: list[str]) -> None:
    """Read the request, lay the folder."""
    try:
        (run,) = words
        folder = RunFolder(run)
        containers, replace = _checked(request())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Stop(2, f"refused: stage: {error}") from None
    prepare()
    _check_room()
    make_folder(folder.path)
    _lay_program(f"{folder.path}/node.pyz")
    for ctid in replace:
        with suppress(FileNotFoundError):
            shutil.rmtree(f"{folder.path}/{ctid}")
    for ctid, files in containers.items():
        _lay(f"{folder.path}/{ctid}", files)
    sync_folder(folder.path)


def _checked(asked: Any) -> tuple[dict[int, Mapping[str, str]], list[int]]:
    """The containers with their files, and those to replace. Raises ValueError."""
    containers: dict[int, Mapping[str, str]] = {}
    for ctid, files in asked["containers"].items():
        if unknown := set(files) - set(NAMES):
            raise ValueError(f"CT {ctid}: no such file: {', '.join(sorted(unknown))}")
        if "health" in files:
            HealthCheck.parse(files["health"])
        containers[_ctid(ctid)] = files
    return containers, [_ctid(str(ctid)) for ctid in asked.get("replace", ())]


def _ctid(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{2,8}", text):
        raise ValueError(f"{text!r} is not a CTID")
    return int(text)


def _check_room() -> None:
    there = os.statvfs(at(STATE))
    if there.f_bavail * there.f_frsize < ROOM:
        raise Stop(1, f"less than 64 MiB are free in {STATE}: make room and run again")


def _lay_program(path: str) -> None:
    """The program that runs now: the one that came on stdin, or the very file."""
    mine, there = read(sys.path[0]), read(path)
    if mine is None:
        raise Stop(1, "the program is not packed: nothing was staged")
    if there is None or not (mine == there or is_of(there, mine)):
        write(path, with_code(mine, path))


def _lay(path: str, files: Mapping[str, str]) -> None:
    make_folder(path)
    if "before" in files:
        # commit refuses what is there without it: it was cut short
        with suppress(FileNotFoundError):
            os.unlink(f"{path}/before")
            sync_folder(path)
    for name in NAMES:
        if name in files:
            write(f"{path}/{name}", raw(files[name]))
    sync_folder(path)
