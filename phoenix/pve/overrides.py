"""What was seen of the node itself that takes confinement away, whatever a conf says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ObservedOverrides:
    """The kernel's lines and LXC's files (`node.overrides`).

    `kernel`: by its file each line that the kernel has or gets at its next boot; `lxc`: by its file
    the lines of LXC's configuration that bear on confinement, of what it includes as well;
    `unread`: includes there that could not be read, and why; `base`: the text of
    abstractions/lxc/container-base; `changed`: files that are not as their package has them, None
    if dpkg cannot tell.
    """

    kernel: Mapping[str, str] = field(default_factory=dict)
    lxc: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base: str | None = None
    changed: tuple[str, ...] | None = None
    unread: Mapping[str, str] = field(default_factory=dict)


def overrides_from_json(data: Mapping[str, Any]) -> ObservedOverrides:
    """Read the section `overrides` of the node's answer.

    Raises ValueError, KeyError or TypeError for what no node of ours says.
    """
    return ObservedOverrides(
        kernel={path: str(line) for path, line in data["kernel"].items()},
        lxc={path: tuple(lines) for path, lines in data["lxc"].items()},
        base=data["base"],
        changed=None if data["changed"] is None else tuple(data["changed"]),
        unread={value: str(why) for value, why in data["unread"].items()},
    )
