"""Docker in the guests, as the facts saw it: values alone, read by `phoenix.docker.reading`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phoenix.docker.daemon_json import digest
from phoenix.docker.data_root import DATA_ROOT
from phoenix.text.printable import printable

#: What a guest can be: its Docker answers, is not installed, does not answer; something else runs
#: its containers; it is one program and nobody asks it (phoenix.pve.application); the guest gave no
#: answer in time, does not run, has no shell, said more than anybody reads, or could not be asked
#: for another reason.
STATES = (
    *("ok", "none", "dead", "elsewhere", "application", "hung", "stopped", "noshell", "flooded"),
    "failed",
)

#: How the error of a guest begins whose answer has no closed form.
ODD = "its Docker says something that cannot be used"

#: What runs containers: name of its process, and how people call it.
ENGINES = {
    "dockerd": "Docker",
    "containerd": "containerd",
    "k3s-server": "k3s",
    "crio": "CRI-O",
    "conmon": "podman",
    "podman": "podman",
}


@dataclass(frozen=True)
class DaemonFile:
    """`/etc/docker/daemon.json` of a guest: UTF-8 of at most 1 MiB."""

    text: str
    uid: int = 0
    gid: int = 0
    mode: str = "644"

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return digest(self.text)


@dataclass(frozen=True)
class Bind:
    """A path of the guest inside a Docker container of that name."""

    container: str
    source: str
    target: str


@dataclass(frozen=True)
class Workload:
    """A Docker container, and what it is in Docker's words: `running`, `exited` and so on."""

    name: str
    state: str
    image: str


@dataclass(frozen=True)
class ComposeLine:
    """A line of a file of compose that takes a protection away.

    `option`: `apparmor`, `seccomp` or `systempaths`, which it has unconfined, or `privileged`.
    """

    path: str
    line: int
    option: str


@dataclass(frozen=True)
class Engine:
    """What runs containers in a guest beside a Docker that root can ask.

    `name`: of the process; `uid`: in the guest, 0 for root; `program`: its path there.
    """

    name: str
    uid: int
    program: str

    def __str__(self) -> str:
        rootless = f" of uid {self.uid}" if self.uid else ""
        return f"{ENGINES[self.name]} ({printable(self.program)}{rootless})"


@dataclass(frozen=True)
class ObservedDocker:
    """The Docker of one container.

    `state`: one of `STATES`; all the rest is empty unless it is `ok` or `dead`, and what the
    daemon says of itself unless it is `ok`; of one that is `none` there is what it takes to
    install one: `os`, `manager`, `packages`, `dev_fuse`, `overlay`, `file`. `error` is what was
    said instead.

    - `engines`: what runs containers where Docker does not answer or is `elsewhere`.

    - `version`: of dockerd; `runc_build`: of the runc which it uses, with the package's revision
      where its distribution names it so; `runc`: what runc says itself, asked where dockerd tells
      of none that was released.
    - `architecture`: what it runs on, as `phoenix.docker.architecture` has it, "" if not told.
    - `apparmor`: it confines its containers by AppArmor.
    - `driver`: the storage driver that runs; `snapshotter`: it is one of containerd's image store.
    - `images`, `containers`, `running`, `volumes`: how many of them there are.
    - `stores`: what each storage driver keeps, driver to number of layers or snapshots; an empty
      folder counts 0.
    - `data_root`: where Docker keeps its data.
    - `flags`: the arguments of the running dockerd.
    - `os`: `debian 13`; `manager`: apt, apk, dnf or "".
    - `packages`: name to dpkg's state, such as `ii` or `rc`; `holds`: packages that apt holds.
    - `pins`: packages that apt's preferences keep at a version.
    - `wrappers`: what stands in runc's place, kind (`script`, `changed`, `link`) and path.
    - `workloads`: Docker containers, running or not.
    - `unconfined`: Docker containers, running or not, and the option that takes a protection away.
    - `composes`: what files of compose say so, of projects that are down as well;
      `composes_cut`: not all of those files were looked at.
    - `partly`: dockerd's answer broke off, or was too long: it has more containers than are told.
    - `silent`: Docker containers, and a path of theirs in the guest that gives no answer.
    - `dev_fuse`: /dev/fuse is there; `fuse_overlayfs`: so is that program.
    - `binds`: paths of the guest that Docker's containers have, those without blanks.
    - `fstab`: what its fstab mounts and is mounted: type and target.
    - `mount`: major and minor version of util-linux' mount(8), None for another one, or where
      its fstab mounts nothing.
    - `overlay`: whether an overlay can be mounted, None where nobody asked.
    - `file`: its daemon.json.
    """

    state: str
    version: str = ""
    driver: str = ""
    error: str = ""
    engines: tuple[Engine, ...] = ()
    snapshotter: bool = False
    images: int = 0
    containers: int = 0
    running: int = 0
    volumes: int = 0
    stores: Mapping[str, int] = field(default_factory=dict)
    data_root: str = DATA_ROOT
    flags: tuple[str, ...] = ()
    runc: str = ""
    runc_build: str = ""
    apparmor: bool = False
    os: str = ""
    manager: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    wrappers: tuple[tuple[str, str], ...] = ()
    workloads: tuple[Workload, ...] = ()
    unconfined: tuple[tuple[str, str], ...] = ()
    composes: tuple[ComposeLine, ...] = ()
    composes_cut: bool = False
    partly: bool = False
    silent: tuple[tuple[str, str], ...] = ()
    dev_fuse: bool = False
    fuse_overlayfs: bool = False
    binds: tuple[Bind, ...] = ()
    fstab: tuple[tuple[str, str], ...] = ()
    mount: tuple[int, int] | None = None
    overlay: bool | None = None
    file: DaemonFile | None = None
    architecture: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        plain = asdict(self)
        return {key: list(one) if isinstance(one, tuple) else one for key, one in plain.items()}

    def __str__(self) -> str:
        engines = ", ".join(map(str, self.elsewhere[:3]))
        words = {"ok": f"{self.version} {self.driver}", "elsewhere": engines}
        words |= {"none": "-", "application": "-"}
        return words.get(self.state, f"{self.state}: {self.error}".rstrip(": "))

    @property
    def elsewhere(self) -> tuple[Engine, ...]:
        """What runs its containers, where that is nothing that root in it can ask as Docker."""
        if self.state == "elsewhere":
            return self.engines
        ours = any(one.name == "dockerd" and not one.uid for one in self.engines)
        if self.state != "dead" or ours:
            return ()
        if not self.version:
            return self.engines
        # its own dockerd is there and does not run: another one in its place is somebody's
        return tuple(one for one in self.engines if one.name == "dockerd")

    @property
    def major(self) -> int:
        """The number before the first dot of the version, 0 if there is none."""
        found = re.match(r"[0-9]+", self.version)
        return int(found[0]) if found else 0

    @property
    def held(self) -> str:
        """What the running storage driver holds, in words: `2 images, 1 volume`; "" for nothing.

        Layers count where nothing else does: a build cache, say.
        """
        found = {"image": self.images, "container": self.containers, "volume": self.volumes}
        if not any(found.values()) and not self.snapshotter:
            found = {"layer": self.stores.get(self.driver, 0)}
        return ", ".join(
            f"{count} {word}{'s' * (count != 1)}" for word, count in found.items() if count
        )
