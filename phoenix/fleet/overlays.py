"""The overlays beside the fleet file: `profiles.d/CTID.rules`, each for one container alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic_core import PydanticCustomError

from phoenix.apparmor.overlay import read_overlay
from phoenix.fleet.values import ctid
from phoenix.text.printable import printable
from phoenix.text.problems import Problem

#: The folder beside the fleet file, and how the names of its files end; others are not read.
FOLDER, SUFFIX = "profiles.d", ".rules"


def overlay_file(number: int) -> str:
    """The file of a container, from the fleet file's folder on."""
    return f"{FOLDER}/{number}{SUFFIX}"


def read_overlays(
    files: Mapping[str, bytes], problems: list[Problem]
) -> Mapping[int, tuple[str, ...]]:
    """The lines of each container's overlay; what is wrong with them goes to `problems`.

    `files`: name in the folder to content.
    """
    overlays = {}
    for name, data in sorted(files.items()):
        number = _ctid_of(name)
        if number is None:
            continue
        overlays[number], flaws = read_overlay(data)
        problems += [Problem(f"{FOLDER}/{name}:{one.line}", one.text, one.why) for one in flaws]
    return overlays


def overlay_warnings(files: Iterable[str], known: Mapping[int, object]) -> Iterator[str]:
    """Files that are for no container of the fleet file."""
    for name in sorted(files):
        number, path = _ctid_of(name), printable(f"{FOLDER}/{name}")
        if number is None:
            yield f"{path}: is not read: its name is no CTID, like 910{SUFFIX}"
        elif number not in known:
            yield f"{path}: the fleet file has no container {number}"


def _ctid_of(name: str) -> int | None:
    try:
        number = ctid(name.removesuffix(SUFFIX))
    except PydanticCustomError:
        return None
    return number if name == f"{number}{SUFFIX}" else None
