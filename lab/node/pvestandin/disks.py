"""What a conf says of its volumes: rootfs and those among its mount points."""

from __future__ import annotations

import re

from . import schema
from .conf import Conf, Section
from .storage import is_volume

_KEY = re.compile(r"rootfs|mp\d+")


def mount_points(section: Section) -> dict[str, dict[str, str]]:
    """rootfs and each mpN in its parts, the rootfs first (PVE::LXC::Config foreach_volume)."""
    keys = sorted(key for key in section.options if _KEY.fullmatch(key))
    keys.sort(key=lambda key: key != "rootfs")
    return {key: parts_of(key, section.options[key]) for key in keys}


def volumes(section: Section, *, unused: bool = False) -> dict[str, str]:
    """The volume behind each of these keys that has one; `unused`: behind each unusedN, too."""
    found = {key: point["volume"] for key, point in mount_points(section).items()}
    if unused:
        found |= {
            key: value for key, value in section.options.items() if re.fullmatch(r"unused\d+", key)
        }
    return {key: volume for key, volume in found.items() if is_volume(volume)}


def parts_of(key: str, value: str) -> dict[str, str]:
    """A value of rootfs or mpN in its parts."""
    return schema.parts(schema.VOLUME if key == "rootfs" else schema.MOUNT_POINT, value)


def text_of(point: dict[str, str]) -> str:
    """The parts as a conf has them: the volume, then the others by name."""
    rest = [f"{key}={point[key]}" for key in sorted(point) if key != "volume"]
    return ",".join([point["volume"], *rest])


def add_unused(section: Section, volume: str) -> None:
    """Note a volume that nothing uses any more as unusedN (add_unused_volume)."""
    if volume in section.options.values():
        return
    number = next(number for number in range(256) if f"unused{number}" not in section.options)
    section.options[f"unused{number}"] = volume


def root_owner(conf: Conf) -> tuple[int, int]:
    """The node's ids of the container's root (parse_id_maps)."""
    from .lxcconf import host_id

    return host_id(conf, "u", 0), host_id(conf, "g", 0)
