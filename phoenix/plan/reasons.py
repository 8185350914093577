"""Why a plan changes something: a word for programs that show it, a line for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from phoenix.text.some import some


class Why(StrEnum):
    """The kinds of reasons, for display only: nothing is decided by them."""

    #: Of a container: a feature, a raw key, a device, somebody's workaround, the profile it names.
    FEATURES = "features"
    RAW_KEY = "raw-key"
    DEVICE = "device"
    WORKAROUND = "workaround"
    PROFILE = "profile"
    #: It runs with something else than its conf says.
    RESTART_DUE = "restart-due"
    #: In its guest.
    STORAGE_DRIVER = "storage-driver"
    PACKAGE = "package"
    INSTALL = "install"
    #: Of a rollback.
    CONF_BACK = "conf-back"
    CHANGED_SINCE = "changed-since"
    DAEMON_JSON = "daemon-json"
    #: Of a profile.
    NEW = "new"
    CHANGED = "changed"
    NOT_LOADED = "not-loaded"
    MODE = "mode"
    STALE = "stale"


@dataclass(frozen=True)
class Reason:
    """`text`: one line, as it is shown."""

    why: Why
    text: str

    def __str__(self) -> str:
        return self.text


def summary(reasons: Iterable[Reason]) -> str:
    """Reasons in one line; some of them where they are many."""
    return some([*map(str, reasons)], separator="; ")
