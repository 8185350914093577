"""Who one is on a node, and whether the product's program can run there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: What the program for the nodes is written for.
PYTHON = (3, 9)

_LINE = re.compile(r"(uid|user|python|pct) (.*)")
_FORMS: Mapping[str, re.Pattern[str]] = {
    "uid": re.compile(r"[0-9]{1,10}", re.ASCII),
    "user": re.compile(r"[A-Za-z0-9_.@\\-]{1,64}", re.ASCII),
    "python": re.compile(r"Python (3\.[0-9]{1,3})(?:\.[0-9]{1,3})?[^ ]{0,16}", re.ASCII),
    "pct": re.compile(r"/[^ ]{1,255}"),
}


@dataclass(frozen=True)
class ObservedLogin:
    """What a shell on the node says, before anything else is asked.

    `uid`: None where it said nothing; `python`: of python3, None without one that tells it; `pct`:
    where that is, "" where there is none.
    """

    uid: int | None = None
    user: str = ""
    python: tuple[int, ...] | None = None
    pct: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def read_login(lines: Iterable[str]) -> ObservedLogin:
    """Read the answer of `facts.login`; what a login shell prints before it is passed over.

    >>> read_login(["Welcome", "uid 0", "user root", "python Python 3.13.5", "pct /usr/sbin/pct"])
    ObservedLogin(uid=0, user='root', python=(3, 13), pct='/usr/sbin/pct')
    """
    pairs = (line.groups() for line in map(_LINE.fullmatch, lines) if line)
    said = {key: found for key, value in pairs if (found := _FORMS[key].fullmatch(value.strip()))}
    version = said.get("python")
    return ObservedLogin(
        uid=int(said["uid"][0]) if "uid" in said else None,
        user=said["user"][0] if "user" in said else "",
        python=tuple(map(int, version[1].split("."))) if version else None,
        pct=said["pct"][0] if "pct" in said else "",
    )
