"""Paths inside containers that the rules of their profile must name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from phoenix.apparmor.sources import is_unreached
from phoenix.docker.data_root import (
    DATA_ROOT,
    MOST_DATA_ROOTS,
    GuestPathError,
    check_data_root,
    check_plain,
)

# the line of base.j2 that holds them
_WRITTEN = re.compile(r"^@\{dkr_data\} = (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class GuestPaths:
    """What one profile must know of the containers that use it.

    `data_roots`: where Docker keeps its data; `sources`: directories that Docker may bind into its
    containers and that the template's own patterns for such sources do not reach.
    """

    data_roots: tuple[str, ...] = (DATA_ROOT,)
    sources: tuple[str, ...] = ()


#: A profile whose users have everything where Docker puts it by itself.
DEFAULT_PATHS = GuestPaths()


def guest_paths(data_roots: Iterable[str], mounts: Iterable[str] = ()) -> GuestPaths:
    """Put together what a profile must know.

    `data_roots`: of all containers that use it; `mounts`: where the fleet file mounts something
    in them, absolute. A mount needs no rule to be there: LXC mounts it before the profile begins.
    But Docker binds volumes from it, and the patterns in base.j2 that leave out /proc, /sys and
    /dev also leave out names like /projects. Raises GuestPathError for a path that cannot stand in
    a rule.
    """
    roots = sorted({check_data_root(root) for root in data_roots}) or [DATA_ROOT]
    tops = {path.strip("/").split("/")[0] for path in (*mounts, *roots)}
    sources = sorted(f"/{top}" for top in tops if is_unreached(top))
    for source in sources:
        check_plain(source)
    return GuestPaths(tuple(roots), tuple(sources))


def written_data_roots(text: str) -> tuple[str, ...]:
    """The data roots that a profile of ours was rendered with, those that it may have still."""
    line = _WRITTEN.search(text)
    return tuple(filter(_is_data_root, line[1].split()))[:MOST_DATA_ROOTS] if line else ()


def _is_data_root(path: str) -> bool:
    try:
        return check_data_root(path) == path
    except GuestPathError:
        return False
