"""Where a guest's Docker keeps its data: a path in a closed form, for rules will name it."""

from __future__ import annotations

import re

from phoenix.text.printable import printable

#: Docker's own default (`data-root` of dockerd).
DATA_ROOT = "/var/lib/docker"

#: A data root is a guest's word, and the node compiles it: how long, and how deep, one may be, and
#: how many different ones stand in one profile.
_LONGEST, _DEEPEST, MOST_DATA_ROOTS = 200, 8, 16

# anything else could mean something to the parser: AARE, quotes, variables, lists, comments
_PLAIN = re.compile(r"(/[A-Za-z0-9._+-]+)+", re.ASCII)
# the kernel's own file systems
_KERNELS_OWN = ("dev", "proc", "sys")


class GuestPathError(ValueError):
    """A path that no rule can name, or must not."""


def check_data_root(path: str) -> str:
    """Give the plain form of a folder of Docker's data. Raises GuestPathError where none can be."""
    plain = re.sub(r"/+", "/", path).rstrip("/")
    if len(plain) > _LONGEST or plain.count("/") > _DEEPEST:
        raise GuestPathError(
            f"'{printable(path, 60)}': longer than {_LONGEST} characters or {_DEEPEST} folders"
        )
    check_plain(plain or path)
    if plain.split("/")[1] in _KERNELS_OWN:
        raise GuestPathError(f"'{printable(path)}': Docker's data cannot lie there")
    return plain


def check_plain(path: str) -> None:
    """Raises GuestPathError for a path that a rule cannot name as it stands."""
    if not _PLAIN.fullmatch(path) or {".", ".."} & {*path.split("/")}:
        raise GuestPathError(
            f"'{printable(path)}': in a path that a profile must name only letters, digits and "
            ". _ + - are possible: rename it"
        )
