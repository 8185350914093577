"""Mount points of a container, `mpN`.

Source: pve-container `PVE/LXC/Config.pm`, `$mp_desc` and `verify_lxc_mp_string`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from posixpath import normpath

from phoenix.pve.conf import PveConf, is_true
from phoenix.pve.indexed import EntryPlan, Meaning, plan_numbered
from phoenix.pve.property_string import parse
from phoenix.pve.values import check_value

# value: what Proxmox does without the option
_FLAGS = {
    "ro": False,
    "backup": False,
    "quota": False,
    "shared": False,
    "replicate": True,
    "keepattrs": False,
}
_OTHER = {"volume", "mp", "acl", "size", "mountoptions", "idmap"}

# u or g, first id in the container, first id on the disk, how many
_IDS = re.compile(r"([ug]):([0-9]+):([0-9]+):([1-9][0-9]*)", re.ASCII)
_PASSTHROUGH = "passthrough"


def plan_mount_entries(
    conf: PveConf, wanted_values: Sequence[str], managed_before: Iterable[str] = ()
) -> EntryPlan:
    """Which mpN lines bring the wanted mounts, such as `/srv/data,mp=/data,ro=1`.

    Equal mounts are recognised whatever their number and the order of their options; the lowest
    free number is used. See `plan_numbered`. Raises ValueError for a value that Proxmox would
    refuse, or that asks for a new volume, which only Proxmox can make.

    >>> conf = PveConf.parse("mp0: /srv/a,mp=/a\\nmp2: /srv/b,ro=1,mp=/b\\n")
    >>> plan_mount_entries(conf, ["/srv/b,mp=/b,ro=yes", "/srv/c,mp=/c"]).new
    (('mp1', '/srv/c,mp=/c'),)
    """
    return plan_numbered(
        conf, wanted_values, prefix="mp", place="mp", read=read_mount, managed_before=managed_before
    )


def same_mount(one: str, other: str) -> bool:
    """Do two values of mpN mean the same? Raises ValueError for a malformed one."""
    return read_mount(one) == read_mount(other)


def read_mount(value: str) -> Meaning:
    """What a value of mpN means: options with their defaults left out, paths made plain.

    The size is only a note that Proxmox keeps about a volume, so it does not count. Raises
    ValueError for a value that Proxmox would refuse.
    """
    check_value("mp0", value)
    options = parse(value, "volume")
    for name in options:
        if name not in _OTHER and name not in _FLAGS:
            raise ValueError(f"mount {value!r}: there is no option {name!r}")
    volume, target = options.get("volume"), options.get("mp")
    if not volume or not target:
        raise ValueError(f"mount {value!r}: write /what/to/mount,mp=/where")
    for path in (volume, target):
        if re.search(r"/\.\.?(/|$)|^\.\./", path):
            raise ValueError(f"mount {value!r}: {path} holds '.' or '..'")
    # NEW_DISK_RE of pve-container LXC.pm
    if re.fullmatch(r"[^:\s]+:\d+(\.\d+)?", volume):
        raise ValueError(f"mount {value!r}: create the volume with pct set first")
    meaning: dict[str, object] = {
        "volume": normpath(volume) if volume.startswith("/") else volume,
        "mp": normpath("/" + target.strip("/")),
    }
    for name, text in options.items():
        if name in _FLAGS:
            if is_true(text) != _FLAGS[name]:
                meaning[name] = is_true(text)
        elif name == "mountoptions":
            meaning[name] = frozenset(text.split(";"))
        elif name == "idmap":
            meaning[name] = _idmap(value, text)
        elif name not in ("volume", "mp", "size"):
            meaning[name] = text
    return meaning


def writes_as_root(meaning: Meaning) -> bool:
    """Whether what root of an unprivileged container makes there belongs to root of the node.

    `idmap` (pve-container since 6.1.6) maps ids of the container to those on the disk; without it,
    or where no entry has an id, the container's own map counts, which has no root of the node.
    """
    idmap = meaning.get("idmap")
    if idmap == _PASSTHROUGH:
        return True
    entries = (_IDS.fullmatch(one) for one in idmap) if isinstance(idmap, frozenset) else ()
    return any(found and int(found[3]) == 0 for found in entries)


def _idmap(value: str, text: str) -> object:
    if text == _PASSTHROUGH:
        return text
    entries = text.split(";")
    if not all(map(_IDS.fullmatch, entries)):
        raise ValueError(
            f"mount {value!r}: idmap is passthrough, or u:INSIDE:DISK:COUNT and g:… with semicolons"
        )
    return frozenset(entries)
