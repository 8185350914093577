"""Docker in the guests, as the facts saw it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from phoenix.daemon_json import digest

#: What a guest can be: its Docker answers, is not installed, does not answer; the guest gave no
#: answer in time, does not run, has no shell, or could not be entered for another reason.
STATES = ("ok", "none", "dead", "hung", "stopped", "noshell", "failed")

#: How containerd's image store calls itself in `docker info` (moby, daemon/containerd).
SNAPSHOTTER_TYPE = "io.containerd.snapshotter.v1"


@dataclass(frozen=True)
class DaemonFile:
    """`/etc/docker/daemon.json` of a guest; bytes that are no UTF-8 are escaped as surrogates."""

    text: str
    uid: int = 0
    gid: int = 0
    mode: str = "644"

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return digest(self.text)


@dataclass(frozen=True)
class ObservedDocker:
    """The Docker of one container.

    `state`: one of `STATES`; all the rest is empty unless it is `ok` or `dead`, and what the
    daemon says of itself unless it is `ok`. `error` is what was said instead.

    - `version`, `runc`: of dockerd and of runc.
    - `driver`: the storage driver that runs; `snapshotter`: it is one of containerd's image store.
    - `images`, `containers`, `running`, `volumes`: how many of them there are.
    - `stores`: what each storage driver keeps, driver to number of layers or snapshots; an empty
      folder counts 0.
    - `data_root`: where Docker keeps its data.
    - `flags`: the arguments of the running dockerd.
    - `os`: `debian 13`; `manager`: apt, apk, dnf or "".
    - `packages`: name to dpkg's state, such as `ii` or `rc`; `holds`: packages that apt holds.
    - `dev_fuse`: /dev/fuse is there; `fuse_overlayfs`: so is that program.
    - `overlay`: whether an overlay can be mounted, None where nobody asked.
    - `file`: its daemon.json.
    """

    state: str
    version: str = ""
    driver: str = ""
    error: str = ""
    snapshotter: bool = False
    images: int = 0
    containers: int = 0
    running: int = 0
    volumes: int = 0
    stores: Mapping[str, int] = field(default_factory=dict)
    data_root: str = "/var/lib/docker"
    flags: tuple[str, ...] = ()
    runc: str = ""
    os: str = ""
    manager: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    dev_fuse: bool = False
    fuse_overlayfs: bool = False
    overlay: bool | None = None
    file: DaemonFile | None = None

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {**asdict(self), "flags": list(self.flags), "holds": list(self.holds)}

    def __str__(self) -> str:
        words = {"ok": f"{self.version} {self.driver}", "none": "-"}
        return words.get(self.state, f"{self.state}: {self.error}".rstrip(": "))

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


def parse_dockers(lines: list[str]) -> Mapping[int, ObservedDocker]:
    """Read the answer of `templates/node/docker.sh`, one container a line."""
    found = {}
    for line in lines:
        ctid, state, text = (*line.split(" ", 2), "", "")[:3]
        if not ctid.isdecimal() or state not in STATES:
            continue
        answer = unquote_to_bytes(text).decode("utf-8", "surrogateescape")
        found[int(ctid)] = (
            _read(answer) if state == "ok" else ObservedDocker(state, error=_last(answer))
        )
    return found


def _last(text: str) -> str:
    return text.strip().splitlines()[-1].strip() if text.strip() else ""


def _read(answer: str) -> ObservedDocker:
    """Read what `templates/node/docker-guest.sh` prints, which says what each line holds."""
    head, mark, tail = answer.partition("\ndaemon-file ")
    info: list[str] = []
    one: dict[str, str] = {}
    stores: dict[str, int] = {}
    counts: dict[str, int] = {}
    packages: dict[str, str] = {}
    holds, flags = [], []
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        match key, value.split(" "):
            case "info", _:
                info.append(value)
            case "flag", _:
                flags.append(value)
            case "store", [name, count] if count.isdecimal():
                stores[name.removeprefix(f"{SNAPSHOTTER_TYPE}.")] = int(count)
            case "count", [name, count] if count.isdecimal():
                counts[name] = int(count)
            case "package", [state, name, *_]:
                packages[name] = state
            case "hold", [name]:
                holds.append(name)
            case _:
                one[key] = value
    common = ObservedDocker(
        "dead",
        version=_version(one.get("version", "")),
        error=next((line for line in info if not line.startswith("{")), ""),
        containers=counts.get("containers", 0),
        volumes=counts.get("volumes", 0),
        stores=stores,
        data_root=one.get("root", "/var/lib/docker"),
        flags=tuple(flags),
        runc=one.get("runc", ""),
        os=one.get("os", "").strip(),
        manager=one.get("manager", ""),
        packages=packages,
        holds=tuple(holds),
        dev_fuse=one.get("fuse") == "yes",
        fuse_overlayfs=one.get("binary") == "fuse-overlayfs",
        overlay={"yes": True, "no": False}.get(one.get("overlay", "")),
        file=_file(tail) if mark else None,
    )
    return _with_info(common, info)


def _with_info(docker: ObservedDocker, lines: list[str]) -> ObservedDocker:
    """Add what `docker info` said; with a daemon that answers the state is `ok`."""
    try:
        info = json.loads(next((line for line in lines if line.startswith("{")), "{}"))
        if errors := info.get("ServerErrors"):
            return replace(docker, error=str(errors[0]))
        if not info.get("ServerVersion"):
            return docker
        status = dict(pair[:2] for pair in info.get("DriverStatus") or () if len(pair) > 1)
        return replace(
            docker,
            state="ok",
            error="",
            version=str(info["ServerVersion"]),
            driver=str(info.get("Driver", "")),
            snapshotter=status.get("driver-type") == SNAPSHOTTER_TYPE,
            images=int(info.get("Images", 0)),
            containers=int(info.get("Containers", 0)),
            running=int(info.get("ContainersRunning", 0)),
            data_root=str(info.get("DockerRootDir") or docker.data_root),
        )
    except (ValueError, TypeError, AttributeError):
        return replace(docker, error="docker info printed something else than expected")


def _version(said: str) -> str:
    # Docker version 26.1.5+dfsg1, build a72d7cd
    found = re.search(r"version ([^,\s]+)", said)
    return found[1] if found else ""


def _file(text: str) -> DaemonFile:
    """The line `UID GID MODE`, then the file."""
    about, _, content = text.partition("\n")
    uid, gid, mode = (*about.split(" "), "", "", "")[:3]
    return DaemonFile(
        content,
        int(uid) if uid.isdecimal() else 0,
        int(gid) if gid.isdecimal() else 0,
        mode or "644",
    )
