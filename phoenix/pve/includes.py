"""What the files hold that confs bring in by `lxc.include`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phoenix.pve.keys import modern_key
from phoenix.pve.raw_keys import RawKey


@dataclass(frozen=True)
class IncludedLine:
    """A line of such a file, `number` from 1 on."""

    path: str
    number: int
    raw: RawKey

    @property
    def place(self) -> str:
        """Its file and line, in words."""
        return f"{self.path}, line {self.number}"


@dataclass(frozen=True)
class Include:
    """What one `lxc.include` brings in, in the order in which LXC reads it.

    `why`: why not all of it could be read, "" where it could.
    """

    lines: tuple[IncludedLine, ...] = ()
    why: str = ""


#: By its value in a conf what each include brings in; of one that is not in it nothing is known.
Includes = Mapping[str, Include]
NO_INCLUDES: Includes = {}


def includes_from_json(data: Mapping[str, Any]) -> Includes:
    """Read the section `includes` of the node's answer (`node.includes`).

    Raises ValueError, KeyError or TypeError for what no node of ours says.
    """
    return {
        value: Include(
            tuple(
                IncludedLine(str(path), int(number), RawKey(modern_key(key), said))
                for path, number, key, said in one["lines"]
            ),
            str(one["why"]),
        )
        for value, one in data.items()
    }
