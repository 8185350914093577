"""The files of `profiles.d`, read for whoever reads the fleet file."""

from __future__ import annotations

from pathlib import Path

from phoenix.apparmor.overlay import MOST_BYTES
from phoenix.fleet.overlays import FOLDER, SUFFIX
from phoenix.text.problems import FleetError, Problem


def overlays_beside(fleet: Path) -> dict[str, bytes]:
    """The overlays beside a fleet file, name to content; nothing without the folder.

    Of one that is too long as much as tells that. Raises FleetError for what cannot be read.
    """
    folder = fleet.parent / FOLDER
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(FOLDER, error) from None
    return {path.name: read_overlay_file(path) for path in files}


def read_overlay_file(path: Path) -> bytes:
    """The content of one overlay, a byte more than is allowed of one that is too long.

    Raises FleetError where it cannot be read.
    """
    try:
        if not path.is_file():  # a pipe would never end
            raise OSError(0, "no regular file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(f"{FOLDER}/{path.name}", error) from None


def _unreadable(what: str, error: OSError) -> FleetError:
    return FleetError([Problem(what, "", f"cannot be read: {error.strerror or error}")])
