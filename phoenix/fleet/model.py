"""The desired fleet as plain values: what everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from phoenix.docker.install import Repository, Source
from phoenix.pve.health import HealthCheck
from phoenix.pve.raw_keys import RawKey


@dataclass(frozen=True)
class Mount:
    """A directory of the host inside a container, from `volumes` and its siblings.

    The paths are plain, nothing escaped.
    """

    #: An absolute path of the host; for a dataset `/POOL/NAME`, where ZFS mounts it by default.
    source: str
    #: Relative to the container's root, as LXC wants it.
    target: str
    #: The key of the fleet file.
    origin: Literal["volumes", "zfs_volumes", "mount_points"]
    #: uid and gid as the container counts them.
    owner: tuple[int, int] | None = None
    #: The pool and the name of a dataset, None for `mount_points`.
    pool: str | None = None
    name: str | None = None
    #: The most that a dataset may hold, in bytes; only one that is made is held to it.
    quota: int | None = None

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
class Network:
    """The card net0; the names are those of Proxmox's property string (`pct(1)`, `--net0`)."""

    name: str
    bridge: str
    ip: str | None = None
    gw: str | None = None
    ip6: str | None = None
    gw6: str | None = None
    tag: int | None = None
    mtu: int | None = None
    firewall: bool | None = None


@dataclass(frozen=True)
class Making:
    """What only the making of a container needs; None where the file does not say.

    `template`: a path on the node, or a storage's; `clone_from`: the container that it is a clone
    of; `snapshot`: the one that is taken of it, where clones of it begin. `memory`, `swap`: MiB;
    `size`: GiB of its disk on `storage`; `boot_delay`: seconds.
    """

    template: str | None = None
    clone_from: int | None = None
    snapshot: str | None = None
    hostname: str | None = None
    memory: int | None = None
    swap: int | None = None
    cores: int | None = None
    storage: str | None = None
    size: float | None = None
    network: Network | None = None
    mac: str | None = None
    nameservers: tuple[str, ...] = ()
    searchdomain: str | None = None
    start_at_boot: bool | None = None
    boot_delay: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """How one container shall be; None means that the file does not say, so the node decides."""

    #: Its id, 100 to 999999999.
    ctid: int
    #: For people only.
    name: str | None = None
    #: A profile's name, `generated` (Proxmox's own) or `unconfined`.
    profile: str = "generated"
    #: The file says so; where it does not, what one that we made runs under stays.
    says_profile: bool = True
    #: `lxc.apparmor.allow_nesting` beside a named profile.
    allow_nesting: bool | None = None
    #: The profile's stacked form, with a policy namespace of the container's own.
    stacking: bool = False
    #: Of the profile; `complain` only logs.
    mode: Literal["enforce", "complain"] = "enforce"
    #: What its named profile grants as well (`phoenix.apparmor.allows.ALLOWS`), sorted.
    allows: tuple[str, ...] = ()
    #: Files and folders to which its profile logs writes, sorted.
    audits: tuple[str, ...] = ()
    #: A profile of its own in any case.
    own: bool = False
    #: The lines of its overlay (`phoenix.apparmor.overlay`), None without one.
    overlay: tuple[str, ...] | None = None
    #: Rules for the generated profile, without the key.
    apparmor_raw: tuple[str, ...] = ()
    #: Wanted features and values (`"1"`, `"nfs;cifs"`), in the order of `pve.features.CANONICAL`.
    features: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Raw keys in file order, never `lxc.apparmor.profile`.
    raw: tuple[RawKey, ...] = ()
    #: In file order.
    mounts: tuple[Mount, ...] = ()
    #: By number, in file order.
    gpus: tuple[int, ...] = ()
    #: Whether the guest has Docker.
    docker: bool = False
    #: Whether the guest has NVIDIA's driver.
    nvidia: bool = False
    #: False for one that is privileged.
    unprivileged: bool | None = None
    #: Of its Docker.
    storage_driver: Literal["fuse-overlayfs", "overlay2", "keep", "auto"] | None = None
    #: What its owner asks of it to see that it works.
    health: HealthCheck | None = None
    #: Where its Docker comes from if it has none, and the repository where it lacks that too.
    install_source: Source = "distro"
    install_repository: Repository | None = None
    #: Lower ones are restarted first.
    boot_order: int | None = None
    #: Containers that come before it.
    dependencies: tuple[int, ...] = ()
    #: For the day on which it is made.
    making: Making = field(default_factory=Making)
    #: Sentences for people, each with its JSON path.
    warnings: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether a profile of its own name confines it (not `generated`, not `unconfined`)."""
        return self.profile not in ("generated", "unconfined")

    @property
    def implied(self) -> str:
        """The profile that follows from what is installed in it, for one that names none."""
        if not self.docker:
            return "generated"
        return "lxc-nesting-gpu-docker-storage" if self.nvidia else "lxc-docker-nested"

    @property
    def profile_when_made(self) -> str:
        """The profile under which create makes it."""
        return self.profile if self.says_profile else self.implied

    @property
    def is_described(self) -> bool:
        """Whether the file says from what it is made."""
        return bool(self.making.template or self.making.clone_from)

    @property
    def devices(self) -> tuple[str, ...]:
        """The host's device nodes that its GPUs need, those of the driver itself included.

        Which of them exist is the node's to say, and what it has beside them
        (`phoenix.pve.nvidia`). Source: NVIDIA's list of device nodes
        (nvidia-container-cli's compute and utility capabilities).
        """
        if not self.gpus:
            return ()
        driver = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
        return (*(f"/dev/nvidia{gpu}" for gpu in self.gpus), *driver)


@dataclass(frozen=True)
class Fleet:
    """What the fleet file says."""

    #: By id, in the file's order.
    containers: Mapping[int, Container]
    #: Sentences about the file as a whole.
    warnings: tuple[str, ...] = ()
    #: JSON paths of keys that mean nothing here and stay as they are.
    ignored: tuple[str, ...] = ()
    #: AppArmor variables of the site, name to values.
    tunables: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    #: Groups of ids: no two of a group may be down at the same time.
    apart: tuple[tuple[int, ...], ...] = ()


def _fstab(path: str) -> str:
    r"""Escape what separates fields in fstab(5); getmntent(3) undoes it."""
    return path.replace("\\", "\\134").replace(" ", "\\040")
