"""The desired fleet as plain values: what everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from phoenix.pve.raw_keys import RawKey


@dataclass(frozen=True)
class Mount:
    """A directory of the host inside a container, from `volumes` and its siblings.

    `source` is the absolute host path, for a dataset `/POOL/NAME` (ZFS' default; a fact may know
    the real mountpoint, hence `pool` and `name`, both None for `mount_points`). `target` is
    relative to the container's root, as LXC wants it. Both are plain, nothing escaped.
    `owner` is (uid, gid) as the container counts them.
    """

    source: str
    target: str
    origin: Literal["volumes", "zfs_volumes", "mount_points"]
    owner: tuple[int, int] | None = None
    pool: str | None = None
    name: str | None = None

    @property
    def dataset(self) -> str | None:
        """The ZFS dataset that is mounted, `POOL/NAME`, or None for a plain directory."""
        return f"{self.pool}/{self.name}" if self.pool and self.name else None

    def source_on(self, datasets: Mapping[str, str]) -> str:
        """The path on a node; `datasets`: where ZFS mounts its datasets there."""
        return datasets.get(self.dataset, self.source) if self.dataset else self.source

    @property
    def raw_value(self) -> str:
        r"""The value of its `lxc.mount.entry`: an fstab line, blanks as `\040` (fstab(5))."""
        return f"{_fstab(self.source)} {_fstab(self.target)} none bind,create=dir 0 0"


@dataclass(frozen=True)
class Container:
    """How one container shall be; None means that the file does not say, so the node decides.

    - `ctid`: its id, 100 to 999999999.
    - `name`: for people only.
    - `profile`: a profile's name, `generated` (Proxmox's own) or `unconfined`.
    - `allow_nesting`: `lxc.apparmor.allow_nesting` beside a named profile.
    - `stacking`: the profile's stacked form, with a policy namespace of the container's own.
    - `mode`: of the profile; `complain` only logs.
    - `allows`: names of `phoenix.apparmor.allows.ALLOWS` that its named profile grants as well,
      `audits`: files and folders to which it logs writes; both sorted. `own`: a profile of its own
      in any case.
    - `apparmor_raw`: rules for the generated profile, without the key.
    - `features`: wanted Proxmox features and values (`"1"`, `"0"`, `"nfs;cifs"`), in the order
      of `phoenix.pve.features.CANONICAL`.
    - `raw`: raw keys in file order, never `lxc.apparmor.profile`.
    - `mounts`, `gpus`: in file order; GPUs by number.
    - `docker`, `nvidia`: whether the guest has them (`features` of the file).
    - `unprivileged`, `storage_driver`, `boot_order`, `dependencies`: as the file has them.
    - `warnings`: sentences for people, each with its JSON path.
    """

    ctid: int
    name: str | None = None
    profile: str = "generated"
    allow_nesting: bool | None = None
    stacking: bool = False
    mode: Literal["enforce", "complain"] = "enforce"
    allows: tuple[str, ...] = ()
    audits: tuple[str, ...] = ()
    own: bool = False
    apparmor_raw: tuple[str, ...] = ()
    features: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    raw: tuple[RawKey, ...] = ()
    mounts: tuple[Mount, ...] = ()
    gpus: tuple[int, ...] = ()
    docker: bool = False
    nvidia: bool = False
    unprivileged: bool | None = None
    storage_driver: Literal["fuse-overlayfs", "overlay2", "keep", "auto"] | None = None
    boot_order: int | None = None
    dependencies: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether a profile of its own name confines it (not `generated`, not `unconfined`)."""
        return self.profile not in ("generated", "unconfined")

    @property
    def devices(self) -> tuple[str, ...]:
        """The host's device nodes that its GPUs need, those of the driver itself included.

        Which of them exist is the node's to say. Source: NVIDIA's list of device nodes
        (nvidia-container-cli's compute and utility capabilities).
        """
        if not self.gpus:
            return ()
        driver = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
        return (*(f"/dev/nvidia{gpu}" for gpu in self.gpus), *driver)


@dataclass(frozen=True)
class Fleet:
    """All containers of the file by id, in the file's order.

    `tunables`: AppArmor variables of the site, name to values. `warnings` concern the file as a
    whole; `ignored` are the JSON paths of keys that mean nothing here and stay as they are.
    """

    containers: Mapping[int, Container]
    warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    tunables: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


def _fstab(path: str) -> str:
    r"""Escape what separates fields in fstab(5); getmntent(3) undoes it."""
    return path.replace("\\", "\\134").replace(" ", "\\040")
