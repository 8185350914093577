"""How what the guests say of their Docker is read: the lines of `templates/guest/docker.sh`.

A guest is the attacker: what it says counts only in a closed form. What is for people alone is
dropped where it has none; with anything else the guest is one that cannot be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from phoenix.docker.architecture import MACHINE, of_machine
from phoenix.docker.data_root import DATA_ROOT, GuestPathError, check_data_root
from phoenix.docker.names import DAEMON_JSON, DRIVER_NAME, MANAGERS, PACKAGE_NAME
from phoenix.docker.observed import (
    ENGINES,
    ODD,
    Bind,
    ComposeLine,
    DaemonFile,
    Engine,
    ObservedDocker,
    Workload,
)
from phoenix.text.guest_json import read_json, too_much
from phoenix.text.printable import printable

#: How containerd's image store calls itself in `docker info` (moby, daemon/containerd).
SNAPSHOTTER_TYPE = "io.containerd.snapshotter.v1"

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~:_-]{0,63}")
# git describe, or the package's version
_COMMIT = re.compile(r"v?([0-9]+(?:\.[0-9]+){2}\S*?)(?:-([0-9]+)-g[0-9a-f]{4,40})?")
_OS = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}( [A-Za-z0-9][A-Za-z0-9._-]{0,31})?")
_YES_NO = {"yes": True, "no": False}
# of dpkg: wanted and found; apk's and rpm's are told as "ii"
_PACKAGE_STATE = re.compile(r"[a-z][A-Za-z]")
_FLAG = re.compile(r"[!-~]{1,256}")
_COUNT = re.compile(r"[0-9]{1,9}")
_MOST = 999_999_999
_LONGEST_NAME = 100
_CONTAINER = re.compile(r"/?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_WORKLOAD_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_IMAGE = re.compile(r"[!-~]{1,256}")
_PATH = re.compile(r"/[^\s\x00-\x1f\x7f]{0,1000}")
_FSTAB_TYPE = re.compile(r"[a-z0-9._-]{1,32}")
# a path that only people read; blanks are fine
_FILE = re.compile(r"/[^\x00-\x1f\x7f]{0,1000}")
_WRAPPERS = ("script", "changed", "link")
_COMPOSE_OPTIONS = ("apparmor", "seccomp", "systempaths", "privileged")
#: More than anybody has; docker.sh says no more.
_MOST_COMPOSES = 500
_MOST_WORKLOADS = 1000
_OPTION = re.compile(r"(apparmor|seccomp|systempaths)[=:]unconfined")
_MOST_ENGINES = 50
_UID = re.compile(r"[0-9]{1,10}")
_ABOUT_FILE = re.compile(r"([0-9]{1,10}) ([0-9]{1,10}) ([0-7]{1,4})")


class _OddError(ValueError):
    """What a guest says that has no closed form, in words."""


def dockers_from_json(data: Mapping[str, Any]) -> Mapping[int, ObservedDocker]:
    """Read the section `dockers` of the node's answer (`node.dockers`).

    >>> dockers_from_json({"910": {"state": "hung", "text": "", "error": ""}})[910].state
    'hung'
    """
    return {
        int(ctid): _observed(one["state"], one["text"], one["error"]) for ctid, one in data.items()
    }


def _observed(state: str, text: str, error: str) -> ObservedDocker:
    if state != "ok" and not (state == "none" and text and not error):
        return ObservedDocker(state, error=printable(error, 200))
    try:
        return _read(text)
    except _OddError as odd:
        return ObservedDocker("failed", error=printable(f"{ODD}: {odd}", 300))


def _read(answer: str) -> ObservedDocker:
    """Read what `templates/guest/docker.sh` prints, which says what each line holds.

    Raises _OddError.
    """
    head, mark, tail = answer.partition("\ndaemon-file ")
    info: list[str] = []
    one: dict[str, str] = {}
    stores: dict[str, int] = {}
    counts: dict[str, int] = {}
    packages: dict[str, str] = {}
    holds, flags, binds, fstab = [], [], [], []
    pins, wrappers, unconfined, silent = [], [], [], []
    workloads = []
    composes: list[ComposeLine] = []
    cut = partly = False
    engines: list[Engine] = []
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        match key, value.split(" "):
            case "info", _:
                info.append(value)
            case "engine", [name, uid, program, *_] if _is_engine(name, uid, program):
                engines.append(Engine(name, int(uid), program))
            case "flag", _ if _FLAG.fullmatch(value):
                flags.append(value)
            case "store", [name, count] if _COUNT.fullmatch(count):
                driver = name.removeprefix(f"{SNAPSHOTTER_TYPE}.")
                if DRIVER_NAME.fullmatch(driver):
                    stores[driver] = int(count)
            case "count", [("volumes" | "containers") as name, count] if _COUNT.fullmatch(count):
                counts[name] = int(count)
            case "package", [state, name, *_] if _is_package(name):
                if _PACKAGE_STATE.fullmatch(state):
                    packages[name] = state
            case "hold", [name] if _is_package(name):
                holds.append(name)
            case "pin", [name] if _is_package(name):
                pins.append(name)
            case "wrapper", [kind, *_] if kind in _WRAPPERS:
                if _FILE.fullmatch(path := value.partition(" ")[2]):
                    wrappers.append((kind, path))
            case "workload", [name, state, image] if state in _WORKLOAD_STATES:
                if _CONTAINER.fullmatch(name) and _IMAGE.fullmatch(image):
                    workloads.append(Workload(name.removeprefix("/"), state, image))
            case "secopt", [name, option] if _CONTAINER.fullmatch(name):
                if _OPTION.fullmatch(option):
                    unconfined.append((name.removeprefix("/"), option))
            case "compose", [number, option, *_] if _COUNT.fullmatch(number):
                path = value.split(" ", 2)[-1]
                if option in _COMPOSE_OPTIONS and _FILE.fullmatch(path):
                    composes.append(ComposeLine(path, int(number), option))
            case "cut", ["compose"]:
                cut = True
            case "cut", ["docker"]:
                partly = True
            case "silent", [name, source] if _is_bind(name, source, source):
                silent.append((name.removeprefix("/"), source))
            case "bind", [name, source, target] if _is_bind(name, source, target):
                binds.append(Bind(name.removeprefix("/"), source, target))
            case "fstab", [kind, target] if _FSTAB_TYPE.fullmatch(kind) and _PATH.fullmatch(target):
                fstab.append((kind, target))
            case "daemon-file-odd", [reason]:
                raise _OddError(f"{DAEMON_JSON}: {reason.replace('-', ' ')}")
            case _:
                one[key] = value
    engines = engines[:_MOST_ENGINES]
    if "absent" in one:
        return ObservedDocker(
            "elsewhere" if engines else "none",
            engines=tuple(engines),
            os=_fit(_OS, one.get("os", "").strip()),
            manager=_manager(one),
            packages=packages,
            dev_fuse=one.get("fuse") == "yes",
            overlay=_YES_NO.get(one.get("overlay", "")),
            file=_file(tail) if mark else None,
        )
    common = ObservedDocker(
        "dead",
        engines=tuple(engines),
        version=_version(one.get("version", "")),
        error=printable(next((line for line in info if not line.startswith("{")), ""), 200),
        containers=counts.get("containers", 0),
        volumes=counts.get("volumes", 0),
        stores=stores,
        flags=tuple(flags),
        runc=_fit(_VERSION, one.get("runc", "")),
        os=_fit(_OS, one.get("os", "").strip()),
        manager=_manager(one),
        packages=packages,
        holds=tuple(holds),
        pins=tuple(pins),
        wrappers=tuple(wrappers),
        workloads=tuple(workloads[:_MOST_WORKLOADS]),
        unconfined=tuple(unconfined),
        composes=tuple(composes[:_MOST_COMPOSES]),
        composes_cut=cut,
        partly=partly,
        silent=tuple(silent),
        dev_fuse=one.get("fuse") == "yes",
        fuse_overlayfs=one.get("binary") == "fuse-overlayfs",
        binds=tuple(binds),
        fstab=tuple(fstab),
        mount=_major_and_minor(one.get("mount", "")),
        overlay=_YES_NO.get(one.get("overlay", "")),
        file=_file(tail) if mark else None,
    )
    return _with_info(common, info, one.get("root", DATA_ROOT))


def _with_info(docker: ObservedDocker, lines: list[str], root: str) -> ObservedDocker:
    """Add what `docker info` said; with a daemon that answers the state is `ok`.

    `root`: where Docker's data is if it does not say. Raises _OddError.
    """
    said = next((line for line in lines if line.startswith("{")), "{}")
    if reason := too_much(said):
        raise _OddError(f"docker info {reason}")
    try:
        info = read_json(said)
        if errors := info.get("ServerErrors"):
            return replace(docker, data_root=_known(root), error=printable(str(errors[0]), 200))
        if not info.get("ServerVersion"):
            return replace(docker, data_root=_known(root))
        status = dict(pair[:2] for pair in info.get("DriverStatus") or () if len(pair) > 1)
    except (ValueError, TypeError, AttributeError, KeyError):
        return replace(docker, error="docker info printed something else than expected")
    return replace(
        docker,
        state="ok",
        error="",
        engines=(),
        version=_must(_VERSION, "ServerVersion", info["ServerVersion"]),
        architecture=_architecture(info.get("Architecture")),
        driver=_must(DRIVER_NAME, "Driver", info.get("Driver")),
        runc_build=_runc_build(info.get("RuncCommit")),
        apparmor=_is_among("name=apparmor", info.get("SecurityOptions")),
        snapshotter=status.get("driver-type") == SNAPSHOTTER_TYPE,
        images=_number("Images", info.get("Images", 0)),
        containers=_number("Containers", info.get("Containers", 0)),
        running=_number("ContainersRunning", info.get("ContainersRunning", 0)),
        data_root=_data_root(info.get("DockerRootDir") or root),
    )


def _must(form: re.Pattern[str], name: str, value: object) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _OddError(f"{name} is '{printable(str(value))}'")
    return value


def _architecture(machine: object) -> str:
    return "" if machine is None else of_machine(_must(MACHINE, "Architecture", machine))


def _number(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise _OddError(f"{name} is '{printable(str(value))}'")
    return value


def _data_root(value: object) -> str:
    try:
        return check_data_root(value if isinstance(value, str) else str(value))
    except GuestPathError as error:
        raise _OddError(f"DockerRootDir is {error}") from None


def _known(root: str) -> str:
    """Of a daemon that does not answer: what no rule can name is not known."""
    try:
        return check_data_root(root)
    except GuestPathError:
        return DATA_ROOT


def _runc_build(commit: object) -> str:
    """What runc calls the commit that it was built from: `v1.2.5-0-g59923ef`, or in Debian
    `1.1.15+ds1-2+b4`; "" for one that is not a release's.
    """
    said = commit.get("ID") if isinstance(commit, dict) else None
    found = _COMMIT.fullmatch(said[:200]) if isinstance(said, str) else None
    return _fit(_VERSION, found[1]) if found and found[2] in (None, "0") else ""


def _is_among(word: str, words: object) -> bool:
    return isinstance(words, list) and any(one == word for one in words)


def _fit(form: re.Pattern[str], text: str) -> str:
    return text if form.fullmatch(text) else ""


def _is_bind(name: str, source: str, target: str) -> bool:
    paths = (source, target)
    return bool(_CONTAINER.fullmatch(name)) and all(map(_PATH.fullmatch, paths))


def _is_engine(name: str, uid: str, program: str) -> bool:
    return name in ENGINES and bool(_UID.fullmatch(uid) and _PATH.fullmatch(program))


def _major_and_minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(\.|$)", version)
    return (int(found[1]), int(found[2])) if found else None


def _manager(said: Mapping[str, str]) -> str:
    return said["manager"] if said.get("manager") in MANAGERS else ""


def _is_package(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and PACKAGE_NAME.fullmatch(name) is not None


def _version(said: str) -> str:
    # Docker version 26.1.5+dfsg1, build a72d7cd
    found = re.search(r"version ([^,\s]+)", said)
    return _fit(_VERSION, found[1]) if found else ""


def _file(text: str) -> DaemonFile:
    """The line `UID GID MODE`, then the file. Raises _OddError."""
    about, _, content = text.partition("\n")
    if reason := too_much(content):
        raise _OddError(f"{DAEMON_JSON} {reason}")
    found = _ABOUT_FILE.fullmatch(about)
    if found is None:
        return DaemonFile(content)
    return DaemonFile(content, int(found[1]), int(found[2]), found[3])
