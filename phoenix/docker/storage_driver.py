"""Which storage driver Docker shall have, and what stands against it.

`docker info` tells what runs; nothing is guessed. Another driver does not see the images and
containers of the one before, so no change is made over data unless it is forced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix.docker.daemon_json import DRIVER, SNAPSHOTTER, DaemonJson
from phoenix.docker.names import DAEMON_JSON, DRIVER_NAME, MANAGERS, NEITHER
from phoenix.docker.observed import ObservedDocker
from phoenix.text.printable import printable

FUSE_OVERLAYFS = "fuse-overlayfs"
#: Flags of dockerd that the file may not contradict, or that name another file.
_FLAGS = re.compile(r"(?:^| )(-s|--storage-driver|--config-file)(?:[= ](\S*)|$)")


@dataclass(frozen=True)
class DriverPlan:
    """What becomes of a guest's storage driver; with problems nothing else counts."""

    #: What `docker info` shall say after the next start, "" where that is not known.
    driver: str = ""
    #: Managed keys of daemon.json with their values, None to take one back; empty: all stays.
    settings: Mapping[str, str | bool | None] = field(default_factory=dict)
    #: What the guest needs first.
    packages: tuple[str, ...] = ()
    #: Lines for people.
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def plan_driver(wanted: str | None, docker: ObservedDocker, force: bool = False) -> DriverPlan:
    """Decide about a guest whose Docker answers; `wanted`: `storage_driver` of the fleet file.

    Raises DaemonJsonError for a daemon.json that is none.
    """
    now = docker.driver
    waiting = _waiting(docker)
    target, note = _target(wanted, docker)
    notes = (note,) if note else ()
    asked = wanted == target
    if target == now and not waiting:
        return DriverPlan(now, notes=notes)
    if target == now and not asked:
        # the file was changed and dockerd not restarted since
        if docker.held:
            return DriverPlan(problems=(_contradiction(docker, waiting),))
        key, _, value = waiting.partition(" ")
        known = key == DRIVER and DRIVER_NAME.fullmatch(value)
        return DriverPlan(value if known else "", notes=notes)
    hidden = ""
    if target != now and docker.held:
        if not force:
            return DriverPlan(problems=(_refusal(target, docker),))
        hidden = f" (hides {docker.held}, which stay in {_place(docker)})"
    if flag := _flag(docker):
        text = f"dockerd is started with {flag}, which daemon.json cannot contradict"
        if asked:
            return DriverPlan(problems=(f"storage_driver {target}: {text}: change its unit",))
        return DriverPlan(now, notes=(f"stays on {now}: {text}",))
    packages = _packages(target, docker)
    if packages and docker.manager not in MANAGERS:
        text = f"{', '.join(packages)} is missing and its guest has {NEITHER}"
        if asked:
            return DriverPlan(problems=(f"storage_driver {target}: {text}: install it there",))
        return DriverPlan(now, notes=(f"stays on {now}: {text}",))
    # alone, the driver's name fails on Docker 29.0.0 (moby issue tracker)
    store = False if _has_image_store(docker) else None
    settings = {DRIVER: target, SNAPSHOTTER: store}
    change = f"storage driver: {now} becomes {target}{hidden}"
    if target == now:
        change = f"storage driver: daemon.json says {waiting}, stays {now}"
    return DriverPlan(target, settings, packages, (change,), notes)


def needs_fuse(driver: str) -> bool:
    """Whether a storage driver needs `/dev/fuse` in the container."""
    return driver == FUSE_OVERLAYFS


def _target(wanted: str | None, docker: ObservedDocker) -> tuple[str, str]:
    """The driver to have, and a note where it is not what one might expect."""
    now, held = docker.driver, docker.held
    if wanted == "keep":
        return now, ""
    if wanted == "auto":
        if now in ("overlay2", "overlayfs"):
            return now, ""
        if held:
            return now, f"storage_driver auto: stays on {now}, which holds {held}"
        if docker.overlay is None:
            return now, f"storage_driver auto: stays on {now}: no overlay mount was tried"
        return ("overlay2" if docker.overlay else FUSE_OVERLAYFS), ""
    if wanted is not None:
        return wanted, ""
    if now != FUSE_OVERLAYFS and held:
        return now, (
            f"Docker stays on {now}, which holds {held} (storage_driver keep says the same "
            f"without this line); to move to {FUSE_OVERLAYFS}: {_way(FUSE_OVERLAYFS)}"
        )
    return FUSE_OVERLAYFS, ""


def _refusal(target: str, docker: ObservedDocker) -> str:
    return (
        f"storage_driver {target}: Docker runs on {docker.driver}, which holds {docker.held}: "
        f"{target} would hide them, volumes aside: write "
        f'"storage_driver": "keep", or move: {_way(target)}'
    )


def _way(target: str) -> str:
    return (
        "docker save -o images.tar IMAGE..., harden with "
        f'"storage_driver": "{target}" and --data force=docker-data (what is there now stays on '
        "disk), docker load -i images.tar"
    )


def _contradiction(docker: ObservedDocker, waiting: str) -> str:
    keep = f', or write "storage_driver": "{docker.driver}"'
    return (
        f"daemon.json says {waiting}, and {docker.driver} runs and holds {docker.held}: dockerd's "
        "next start would hide them: take the line out of daemon.json"
        f"{keep if docker.driver in ('overlay2', FUSE_OVERLAYFS) else ''}"
    )


def _place(docker: ObservedDocker) -> str:
    return "/var/lib/containerd" if docker.snapshotter else f"{docker.data_root}/{docker.driver}"


def _document(docker: ObservedDocker) -> DaemonJson:
    return DaemonJson.parse(docker.file.text if docker.file else "")


def _waiting(docker: ObservedDocker) -> str:
    """What the file says and dockerd has not read yet, "" for nothing."""
    document = _document(docker)
    said, store = document[DRIVER], document[SNAPSHOTTER]
    # containerd's image store calls it overlayfs (moby, daemon/daemon.go)
    same = docker.snapshotter and (said, docker.driver) == ("overlay2", "overlayfs")
    if said is not None and said != docker.driver and not same:
        return f"{DRIVER} {printable(str(said))}"
    if isinstance(store, bool) and store != docker.snapshotter:
        return f"{SNAPSHOTTER} {str(store).lower()}"
    return ""


def _flag(docker: ObservedDocker) -> str | None:
    found = _FLAGS.search(" ".join(docker.flags))
    return found[1] if found and found[2] != DAEMON_JSON else None


def _packages(target: str, docker: ObservedDocker) -> tuple[str, ...]:
    if target != FUSE_OVERLAYFS or docker.driver == FUSE_OVERLAYFS:
        return ()
    state = docker.packages.get(FUSE_OVERLAYFS)
    # without a package somebody may have put the program there by hand
    there = state == "ii" or (state in (None, "rc", "un") and docker.fuse_overlayfs)
    return () if there else (FUSE_OVERLAYFS,)


def _has_image_store(docker: ObservedDocker) -> bool:
    """Whether containerd's image store would be taken unless it is switched off."""
    return docker.major >= 29 or docker.snapshotter or SNAPSHOTTER in _document(docker)
