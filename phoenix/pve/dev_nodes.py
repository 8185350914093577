"""Which lines of a conf put something into the container's /dev, and which of them collide.

For each `devN` Proxmox makes a file in its autodev hook, by a mknod(2) that refuses what is there
(pve-container `lxc-pve-autodev-hook`), and binds the device on it. By then LXC has followed
`lxc.mount.entry` and run the mount hooks (lxc, src/lxc/conf.c `lxc_setup`). A container with both
does not start: `Script exited with status 17`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from phoenix.pve.conf import PveConf
from phoenix.pve.devices import read_device
from phoenix.pve.features import Features
from phoenix.pve.host_paths import fstab_fields, plain
from phoenix.pve.indexed import pending_deletes

FUSE = "/dev/fuse"

#: LXC's own hook, which makes the nodes of the driver (lxc, hooks/nvidia); without the variable it
#: does nothing.
_NVIDIA_HOOK = re.compile(r"\S*/hooks/nvidia(?:\s.*)?")
_NVIDIA_VISIBLE = re.compile(r"NVIDIA_VISIBLE_DEVICES=(?!void$).+")
_NVIDIA = re.compile(r"/dev/nvidia.*")


@dataclass(frozen=True)
class Maker:
    """A line of a conf that makes a node before `devN` does.

    `line`: as it stands there; `path`: in its plain form, "" for every node of NVIDIA's driver;
    `below`: whether nothing else can be made below it.
    """

    line: str
    path: str
    below: bool = False

    def makes(self, path: str) -> bool:
        """Whether a devN of this path finds something in its place."""
        if not self.path:
            return bool(_NVIDIA.fullmatch(path))
        if path == self.path or self.path.startswith(f"{path}/"):
            return True
        return self.below and path.startswith(f"{self.path}/")


@dataclass(frozen=True)
class Collision:
    """Two lines of a conf that make the same node: the container does not start with both."""

    key: str
    device: str
    other: str

    def __str__(self) -> str:
        return f"{self.key}: {self.device} and {self.other} make the same node"


def collisions(conf: PveConf, ctid: int) -> tuple[Collision, ...]:
    """What in a conf collides at the next start, when pending changes have been applied."""
    if conf.main.raw("lxc.autodev")[-1:] == ("0",):
        # no hook runs, and no devN is made
        return ()
    keys = at_next_start(conf)
    found = []
    makers = [*_makers(conf, keys, ctid)]
    first: dict[str, str] = {}
    for key, path in _devices(keys):
        value = keys[key]
        others = [maker.line for maker in makers if maker.makes(path)]
        # lxc-pve-prestart-hook makes each once more, and refuses the second, too
        others += [f"{first[path]}: {keys[first[path]]}"] if path in first else []
        found += [Collision(key, value, other) for other in others[:1]]
        first.setdefault(path, key)
    return tuple(found)


def maker_of(conf: PveConf, ctid: int, path: str) -> str | None:
    """The line of a conf that makes this node without any devN, or None."""
    makers = _makers(conf, at_next_start(conf), ctid)
    return next((maker.line for maker in makers if maker.makes(path)), None)


def device_at(conf: PveConf, path: str) -> tuple[str, str] | None:
    """The devN that brings this device, as key and value, or None."""
    keys = at_next_start(conf)
    return next(((key, keys[key]) for key, found in _devices(keys) if found == path), None)


def devices_of(conf: PveConf) -> tuple[tuple[str, str, str], ...]:
    """The devN with which a container starts next: key, value and path of each that can be read."""
    keys = at_next_start(conf)
    return tuple((key, keys[key], path) for key, path in _devices(keys))


def in_the_way(
    devices: Sequence[tuple[str, str, str]], ctid: int, entry: str
) -> tuple[tuple[str, str], ...]:
    """Those of `devices_of` a conf, as keys and values, that collide with a mount entry."""
    maker = entry_maker(entry, ctid) if devices else None
    if maker is None:
        return ()
    return tuple((key, value) for key, value, path in devices if maker.makes(path))


def at_next_start(conf: PveConf) -> Mapping[str, str]:
    """The plain keys with which a container starts next: what is pending is applied before."""
    gone = pending_deletes(conf)
    keys = {key: conf.main[key] or "" for key in conf.main if key not in gone}
    if conf.pending:
        keys |= {key: conf.pending[key] or "" for key in conf.pending if key != "delete"}
    return keys


def entry_maker(entry: str, ctid: int) -> Maker | None:
    """What a mount entry makes in the container's /dev, or None.

    lxc, src/lxc/conf.c `mount_entry_create_dir_file`: `create=` makes its target before the mount
    is tried, so `optional` changes nothing; without it there is nothing in the new /dev to mount
    on.
    """
    # lxc, src/lxc/confile.c parse_line strips quotes around a value
    quoted = len(entry) > 1 and entry[0] == entry[-1] and entry[0] in "'\""
    fields = fstab_fields(entry[1:-1] if quoted else entry)
    if len(fields) < 4:
        return None
    path = _in_guest(fields[1], ctid)
    options = fields[3].split(",")
    created = {"create=dir", "create=file"}.intersection(options)
    if path is None or not f"{path}/".startswith("/dev/") or not (created or path == "/dev"):
        return None
    # in a folder of the node its nodes are there already, and no others can be made
    below = not {"bind", "rbind", "create=file"}.isdisjoint(options)
    return Maker(f"lxc.mount.entry: {entry}", path, below)


def _makers(conf: PveConf, keys: Mapping[str, str], ctid: int) -> Iterator[Maker]:
    entries = conf.main.raw("lxc.mount.entry")
    if "" in entries:
        # LXC empties its list there, the entry of the feature included
        entries = entries[len(entries) - entries[::-1].index("") :]
    elif _has_fuse(keys):
        # pve-container LXC.pm update_lxc_config
        yield Maker("features: fuse=1", FUSE)
    for entry in entries:
        if maker := entry_maker(entry, ctid):
            yield maker
    variables = (*conf.main.raw("lxc.environment"), *conf.main.raw("lxc.environment.hooks"))
    if any(map(_NVIDIA_VISIBLE.fullmatch, variables)):
        for hook in filter(_NVIDIA_HOOK.fullmatch, conf.main.raw("lxc.hook.mount")):
            yield Maker(f"lxc.hook.mount: {hook}", "")


def _has_fuse(keys: Mapping[str, str]) -> bool:
    try:
        return Features.parse(keys.get("features")).on("fuse")
    except ValueError:
        return False


def _devices(keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Key and path of each devN that Proxmox can read."""
    for key, value in keys.items():
        if re.fullmatch(r"dev\d+", key):
            try:
                yield key, str(read_device(value)["path"])
            except ValueError:
                continue


def _in_guest(target: str, ctid: int) -> str | None:
    """Where a mount entry's target is in the container, None where LXC ignores it.

    lxc, src/lxc/conf.c `mount_entry_on_absolute_rootfs`: one that begins with a slash counts only
    below the container's rootfs on the node.
    """
    if not target.startswith("/"):
        return plain(target)
    _, found, below = target.partition(f"/var/lib/lxc/{ctid}/rootfs")
    return plain(below) if found else None
