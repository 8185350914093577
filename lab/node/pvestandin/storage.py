"""Storages and the volumes on them: made, copied, frozen, freed (PVE::Storage).

Three kinds: `dir`, `zfspool`, and `lvmthin`, which speaks as LVM does and keeps its volumes in a
folder: what it is for here are its snapshots, which a directory has not.
"""

# ruff: noqa: D102
from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod

from . import node
from .node import PctError

THIN = "/var/lib/vz/thin"
#: What a storage of a kind without them says.
NO_SNAPSHOTS = "snapshot feature is not available"
#: The storage that PVE::Storage::Plugin adds where none is called `local`.
LOCAL = {"type": "dir", "path": "/var/lib/vz", "content": "rootdir,images,vztmpl,iso,backup"}


def run(*command: str) -> str:
    """Run a program, of which every word is ours; its stdout, or the error that pct would print."""
    from subprocess import DEVNULL, run  # slow to import, seldom needed

    sys.stdout.flush()
    done = run(command, stdin=DEVNULL, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        text = f"command '{' '.join(command)}' failed: exit code {done.returncode}"
        raise PctError(f"{text}: {why}" if why else text)
    return done.stdout.decode(errors="replace")


class Storage(ABC):
    """A storage of /etc/pve/storage.cfg. A volume's name is what follows `STORAGE:`."""

    has_snapshots = False

    def __init__(self, name: str, settings: dict[str, str]) -> None:
        self.name = name
        self.settings = settings

    @abstractmethod
    def allocate(self, ctid: str, kib: int, owner: tuple[int, int]) -> str:
        """A new volume of a container, empty, its root of that owner; its name."""

    @abstractmethod
    def image(self, volume: str) -> str:
        """The file of a raw volume, the folder of any other, as the node sees it."""

    @abstractmethod
    def is_raw(self, volume: str) -> bool:
        """Is it an image, with a file system in it?"""

    def there(self, volume: str) -> bool:
        """Is there such a volume?"""
        return os.path.exists(node.path(self.image(volume)))

    @abstractmethod
    def volumes(self, ctid: str) -> list[str]:
        """The names of a container's volumes."""

    @abstractmethod
    def free(self, volume: str) -> None:
        """Remove a volume, and its snapshots."""

    @abstractmethod
    def make_base(self, volume: str) -> str:
        """Turn a volume into a template's, which nobody writes to; its new name."""

    @abstractmethod
    def grow(self, volume: str, size: int) -> None:
        """Give a volume that many bytes."""

    def snapshot(self, volume: str, name: str) -> None:
        """Freeze a volume's state under that name."""
        raise PctError(NO_SNAPSHOTS)

    def frozen(self, volume: str, name: str) -> str:
        """Where a snapshot's content is, like `image`."""
        raise PctError(NO_SNAPSHOTS)

    def roll_back(self, volume: str, name: str) -> None:
        """Give a volume the state of a snapshot."""
        raise PctError(NO_SNAPSHOTS)

    def check_rollback(self, volume: str, name: str) -> None:  # noqa: B027 - LVM takes back any
        """Refuse what cannot be rolled back to."""

    def delete_snapshot(self, volume: str, name: str) -> None:
        """Forget a snapshot."""
        raise PctError(NO_SNAPSHOTS)

    def _make_image(self, volume: str, kib: int, owner: tuple[int, int]) -> None:
        try:
            make_image(node.path(self.image(volume)), kib * 1024, owner)
        except (PctError, OSError):
            self.free(volume)
            raise

    def _unused_name(self, ctid: str, prefix: str, suffix: str = "") -> str:
        taken = {
            number for name in self.volumes(ctid) for number in re.findall(r"disk-(\d+)", name)
        }
        number = next(number for number in range(1000) if str(number) not in taken)
        return f"{prefix}-{ctid}-disk-{number}{suffix}"


class Directory(Storage):
    """A folder with an image or a folder for each volume, none of which has snapshots."""

    @property
    def path(self) -> str:
        """The storage's folder."""
        return self.settings["path"].rstrip("/")

    def allocate(self, ctid: str, kib: int, owner: tuple[int, int]) -> str:
        if kib:
            name = f"{ctid}/{self._unused_name(ctid, 'vm', '.raw')}"
            text = f"Formatting '{self.image(name)}', fmt=raw size={kib * 1024} preallocation=off"
            print(text, flush=True)
            self._make_image(name, kib, owner)
        else:
            name = f"{ctid}/{self._unused_name(ctid, 'subvol', '.subvol')}"
            os.makedirs(node.path(self.image(name)))
            run("chown", "{}:{}".format(*owner), node.path(self.image(name)))
        return name

    def image(self, volume: str) -> str:
        return f"{self.path}/images/{volume}"

    def is_raw(self, volume: str) -> bool:
        return volume.endswith(".raw")

    def volumes(self, ctid: str) -> list[str]:
        found = _listed(node.path(f"{self.path}/images/{ctid}"))
        return [f"{ctid}/{name}" for name in found if name.endswith((".raw", ".subvol"))]

    def free(self, volume: str) -> None:
        place = node.path(self.image(volume))
        if not os.path.exists(place):
            node.warn(f"disk image '{self.image(volume)}' does not exist")
            return
        if "/base" in volume:
            _set_immutable(place, immutable=False)
        run("rm", "-rf", place)
        _remove_folder(os.path.dirname(place))

    def make_base(self, volume: str) -> str:
        base = volume.replace("/vm-", "/base-").replace("/subvol-", "/basevol-")
        place = node.path(self.image(base))
        os.rename(node.path(self.image(volume)), place)
        os.chmod(place, 0o444)
        _set_immutable(place, immutable=True)
        return base

    def grow(self, volume: str, size: int) -> None:
        grow_image(node.path(self.image(volume)), size)


class Thin(Storage):
    """A thin pool: each volume's folder holds the image `disk.raw`, and one for each snapshot."""

    has_snapshots = True

    def allocate(self, ctid: str, kib: int, owner: tuple[int, int]) -> str:
        name = self._unused_name(ctid, "vm")
        os.makedirs(node.path(self._folder(name)))
        self._say_created(name)
        self._make_image(name, kib, owner)
        return name

    def image(self, volume: str) -> str:
        return f"{self._folder(volume)}/disk.raw"

    def is_raw(self, volume: str) -> bool:
        return True

    def volumes(self, ctid: str) -> list[str]:
        found = _listed(node.path(f"{THIN}/{self.settings['vgname']}"))
        return [name for name in found if re.fullmatch(rf"(?:vm|base)-{ctid}-disk-\d+", name)]

    def free(self, volume: str) -> None:
        for name in _listed(node.path(self._folder(volume))):
            if name.endswith(".raw") and name != "disk.raw":
                self.delete_snapshot(volume, name.removesuffix(".raw"))
        run("rm", "-rf", node.path(self._folder(volume)))
        print(f'  Logical volume "{volume}" successfully removed.', flush=True)

    def make_base(self, volume: str) -> str:
        base = re.sub("^vm-", "base-", volume)
        group = self.settings["vgname"]
        os.rename(node.path(self._folder(volume)), node.path(self._folder(base)))
        print(f'  Renamed "{volume}" to "{base}" in volume group "{group}"')
        print(f"  Logical volume {group}/{base} changed.", flush=True)
        return base

    def grow(self, volume: str, size: int) -> None:
        grow_image(node.path(self.image(volume)), size)

    def snapshot(self, volume: str, name: str) -> None:
        copy_image(node.path(self.image(volume)), node.path(self.frozen(volume, name)))
        print(f'  Logical volume "snap_{volume}_{name}" created.', flush=True)

    def frozen(self, volume: str, name: str) -> str:
        return f"{self._folder(volume)}/{name}.raw"

    def roll_back(self, volume: str, name: str) -> None:
        copy_image(node.path(self.frozen(volume, name)), node.path(self.image(volume)))
        print(f'  Logical volume "{volume}" successfully removed.')
        self._say_created(volume)

    def delete_snapshot(self, volume: str, name: str) -> None:
        os.unlink(node.path(self.frozen(volume, name)))
        print(f'  Logical volume "snap_{volume}_{name}" successfully removed.', flush=True)

    def _folder(self, volume: str) -> str:
        return f"{THIN}/{self.settings['vgname']}/{volume}"

    def _say_created(self, volume: str) -> None:
        print(f'  Logical volume "{volume}" created.')
        print(f"  Logical volume {self.settings['vgname']}/{volume} changed.", flush=True)


class Zfs(Storage):
    """A pool, with a dataset for each volume, mounted below /POOL."""

    has_snapshots = True

    def allocate(self, ctid: str, kib: int, owner: tuple[int, int]) -> str:
        name = self._unused_name(ctid, "subvol")
        options = ("acltype=posixacl", "xattr=sa", f"refquota={f'{kib}k' if kib else 'none'}")
        words = [word for option in options for word in ("-o", option)]
        run("zfs", "create", *words, self._dataset(name))
        run("chown", "{}:{}".format(*owner), node.path(self.image(name)))
        return name

    def image(self, volume: str) -> str:
        return f"/{self._dataset(volume)}"

    def is_raw(self, volume: str) -> bool:
        return False

    def volumes(self, ctid: str) -> list[str]:
        found = _listed(node.path(f"/{self.settings['pool']}"))
        return [
            name for name in found if re.fullmatch(rf"(?:subvol|basevol)-{ctid}-disk-\d+", name)
        ]

    def free(self, volume: str) -> None:
        run("zfs", "destroy", "-r", self._dataset(volume))

    def make_base(self, volume: str) -> str:
        base = re.sub("^subvol-", "basevol-", volume)
        run("zfs", "rename", self._dataset(volume), self._dataset(base))
        run("zfs", "snapshot", f"{self._dataset(base)}@__base__")
        return base

    def grow(self, volume: str, size: int) -> None:
        run("zfs", "set", f"refquota={size // 1024}k", self._dataset(volume))

    def snapshot(self, volume: str, name: str) -> None:
        run("zfs", "snapshot", f"{self._dataset(volume)}@{name}")

    def frozen(self, volume: str, name: str) -> str:
        return f"{self.image(volume)}/.zfs/snapshot/{name}"

    def roll_back(self, volume: str, name: str) -> None:
        run("zfs", "rollback", f"{self._dataset(volume)}@{name}")

    def check_rollback(self, volume: str, name: str) -> None:
        words = ("-H", "-t", "snapshot", "-o", "name", "-s", "creation", self._dataset(volume))
        taken = [line.partition("@")[2] for line in run("zfs", "list", *words).split()]
        where = f"'{self.name}:{volume}'"
        if name not in taken:
            raise PctError(f"can't rollback, snapshot '{name}' does not exist on {where}")
        if taken[-1] != name:
            raise PctError(f"can't rollback, '{name}' is not most recent snapshot on {where}")

    def delete_snapshot(self, volume: str, name: str) -> None:
        run("zfs", "destroy", f"{self._dataset(volume)}@{name}")

    def _dataset(self, volume: str) -> str:
        return f"{self.settings['pool']}/{volume}"


KINDS: dict[str, type[Storage]] = {"dir": Directory, "lvmthin": Thin, "zfspool": Zfs}


def storages() -> dict[str, Storage]:
    """The node's storages, of the kinds that we know (PVE::SectionConfig parse_config)."""
    text = (node.read(node.path("/etc/pve/storage.cfg")) or b"").decode(errors="replace")
    found: dict[str, dict[str, str]] = {}
    settings: dict[str, str] = {}
    for line in text.split("\n"):
        if head := re.fullmatch(r"(\w+):\s*(\S+)\s*", line):
            settings = found[head[2]] = {"type": head[1]}
        elif pair := re.fullmatch(r"\s+(\S+)(?:\s+(.*\S))?\s*", line):
            settings[pair[1]] = pair[2] or "1"
    found.setdefault("local", LOCAL)
    return {
        name: KINDS[settings["type"]](name, settings)
        for name, settings in found.items()
        if settings["type"] in KINDS
    }


def storage(name: str) -> Storage:
    """The storage of that name, or pct's refusal."""
    found = storages().get(name)
    if found is None:
        raise PctError(f"storage '{name}' does not exist")
    return found


def for_disks(name: str) -> Storage:
    """That storage, which must be for containers' disks."""
    found = storage(name)
    if "disable" in found.settings:
        raise PctError(f"storage '{name}' is disabled")
    return found


def holds_disks(found: Storage) -> bool:
    """May it hold containers' disks?"""
    return "rootdir" in found.settings.get("content", "").split(",")


def parsed(volid: str) -> tuple[Storage, str]:
    """The storage of a volume, and the volume's name on it."""
    name, _, volume = volid.partition(":")
    return storage(name), volume


def is_volume(source: str) -> bool:
    """Is a mount point's source a volume, not a path of the node (classify_mountpoint)?"""
    return not source.startswith("/")


def make_image(file: str, size: int, owner: tuple[int, int]) -> None:
    """An image of that many bytes with an empty file system, its root of that owner."""
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "xb") as handle:
        handle.truncate(size)
    said = run("mkfs.ext4", "-E", "root_owner={}:{}".format(*owner), file)
    for line in said.splitlines():
        if re.match(r"Creating filesystem|Filesystem UUID|Superblock backups|\t", line):
            print(line)


def grow_image(file: str, size: int) -> None:
    """Make an image larger, and the file system in it, if it is one of its own."""
    with open(file, "r+b") as handle:
        is_a_file_system = handle.seek(0x438) and handle.read(2) == b"\x53\xef"
        if not is_a_file_system:
            return  # it holds what differs from the base of the lab's containers
        handle.truncate(size)
    run("e2fsck", "-f", "-y", file)
    print(run("resize2fs", file), end="", flush=True)


def copy_image(source: str, target: str) -> None:
    """Copy an image, with the note that says which base it lies over, if it is such a one."""
    run("cp", "--sparse=always", "--reflink=auto", source, target)
    if os.path.exists(f"{os.path.dirname(source)}/older"):
        run("touch", f"{os.path.dirname(target)}/older")


def copy_folder(source: str, target: str) -> None:
    """Copy what is in a folder, owners and all."""
    run("cp", "-a", f"{source}/.", target)


def size_of(text: str) -> int:
    """Bytes of a size like 8G (PVE::JSONSchema parse_size)."""
    number = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not number:
        raise PctError("invalid size string")
    return int(float(number[1]) * 1024 ** " KMGT".index(number[2] or " "))


def size_text(size: int) -> str:
    """A size as a conf has it (PVE::JSONSchema format_size)."""
    for unit in "TGMK":
        whole, rest = divmod(size, 1024 ** " KMGT".index(unit))
        if not rest:
            return f"{whole}{unit}"
    return str(size)


def _listed(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _remove_folder(folder: str) -> None:
    """Remove a container's folder with its last volume, and the note which base it lay over."""
    if _listed(folder) == ["older"]:
        os.unlink(f"{folder}/older")
    if not _listed(folder):
        os.rmdir(folder)


def _set_immutable(place: str, *, immutable: bool) -> None:
    try:
        run("chattr", "+i" if immutable else "-i", place)
    except PctError as why:
        node.warn(str(why))
