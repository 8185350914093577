"""Paths inside containers that the rules of their profile must name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from phoenix.printable import printable

#: Docker's own default (`data-root` of dockerd).
DATA_ROOT = "/var/lib/docker"

#: A data root is a guest's word, and the node compiles it: how long, and how deep, one may be, and
#: how many different ones stand in one profile.
_LONGEST, _DEEPEST, MOST_DATA_ROOTS = 200, 8, 16

# anything else could mean something to the parser: AARE, quotes, variables, lists, comments
_PLAIN = re.compile(r"(/[A-Za-z0-9._+-]+)+", re.ASCII)
# what base.j2 denies files of, or mounts in its own way
_KERNELS_OWN = ("dev", "proc", "sys")
# the line of base.j2 that holds them
_WRITTEN = re.compile(r"^@\{dkr_data\} = (.*)$", re.MULTILINE)


class GuestPathError(ValueError):
    """A path that no rule can name, or must not."""


@dataclass(frozen=True)
class GuestPaths:
    """What one profile must know of the containers that wear it.

    `data_roots`: where Docker keeps its data; `sources`: directories that Docker may bind into its
    containers and that the template's own patterns for such sources do not reach.
    """

    data_roots: tuple[str, ...] = (DATA_ROOT,)
    sources: tuple[str, ...] = ()


#: A profile whose wearers have everything where Docker puts it by itself.
DEFAULT_PATHS = GuestPaths()


def guest_paths(data_roots: Iterable[str], mounts: Iterable[str] = ()) -> GuestPaths:
    """Put together what a profile must know.

    `data_roots`: of all containers that wear it; `mounts`: where the fleet file mounts something
    in them, absolute. A mount needs no rule to be there: LXC mounts it before the profile begins.
    But Docker binds volumes from it, and the patterns in base.j2 that leave out /proc, /sys and
    /dev also leave out names like /projects. Raises GuestPathError for a path that cannot stand in
    a rule.
    """
    roots = sorted({check_data_root(root) for root in data_roots}) or [DATA_ROOT]
    tops = {path.strip("/").split("/")[0] for path in (*mounts, *roots)}
    sources = sorted(f"/{top}" for top in tops if is_unreached(top))
    for source in sources:
        _check(source)
    return GuestPaths(tuple(roots), tuple(sources))


def written_data_roots(text: str) -> tuple[str, ...]:
    """The data roots that a profile of ours was rendered with, those that it may have still."""
    line = _WRITTEN.search(text)
    return tuple(filter(_is_data_root, line[1].split()))[:MOST_DATA_ROOTS] if line else ()


def check_data_root(path: str) -> str:
    """Give the plain form of a folder of Docker's data. Raises GuestPathError where none can be."""
    plain = re.sub(r"/+", "/", path).rstrip("/")
    if len(plain) > _LONGEST or plain.count("/") > _DEEPEST:
        raise GuestPathError(
            f"'{printable(path, 60)}': longer than {_LONGEST} characters or {_DEEPEST} folders"
        )
    _check(plain or path)
    if plain.split("/")[1] in _KERNELS_OWN:
        raise GuestPathError(f"'{printable(path)}': Docker's data cannot lie there")
    return plain


def _is_data_root(path: str) -> bool:
    try:
        return check_data_root(path) == path
    except GuestPathError:
        return False


def _check(path: str) -> None:
    if not _PLAIN.fullmatch(path) or {".", ".."} & {*path.split("/")}:
        raise GuestPathError(
            f"'{printable(path)}': in a path that a profile must name only letters, digits and "
            ". _ + - are possible: rename it"
        )


def is_unreached(top: str) -> bool:
    """Whether base.j2's patterns for any source but /proc, /sys and /dev miss /TOP."""
    if top in _KERNELS_OWN:
        return False
    return top in ("d", "p", "pr", "s") or top.startswith(("de", "pro", "sy"))
