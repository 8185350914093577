"""Docker for a container that shall have it and has none: whether, from where, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from phoenix.apparmor.observed import Label
from phoenix.docker.daemon_json import DRIVER, SNAPSHOTTER, DaemonJson, DaemonJsonError
from phoenix.docker.install import Install
from phoenix.docker.names import DAEMON_JSON, MANAGERS, NEITHER
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Container
from phoenix.plan.reasons import Reason, Why
from phoenix.pve.conf import PveConf

_FROM = {
    "distro": "its distribution's packages",
    "docker-ce": "Docker's own repository",
    "keep": "nowhere",
}


@dataclass(frozen=True)
class InstallChange:
    """Docker to install in a container that is confined by then.

    `before`: its conf as it is now; `label`: what PID 1 must carry, None for one that is unconfined
    as the fleet file asks; `architecture`: what its Docker runs on.
    """

    ctid: int
    name: str
    install: Install
    before: PveConf
    label: Label | None
    architecture: str

    @property
    def reason(self) -> Reason:
        """What is done, in one line."""
        driver = self.install.driver
        on = "the storage driver that it can have" if driver == "auto" else driver
        return Reason(Why.INSTALL, f"Docker: installed from {_FROM[self.install.source]}, on {on}")

    @property
    def line(self) -> str:
        """The same, with whose it is."""
        return f"{f'CT {self.ctid} {self.name}'.rstrip()}: {self.reason}"


def wanted_install(container: Container, docker: ObservedDocker | None = None) -> Install | None:
    """How Docker comes into a container that has none; None where it shall stay so.

    `docker`: its guest as it was asked, to decide `auto` by. Where the fleet file names no driver,
    or that which runs, it is fuse-overlayfs, as for one that holds nothing yet.
    """
    if not container.docker or container.install_source == "keep":
        return None
    driver = container.storage_driver
    insists = driver in ("fuse-overlayfs", "overlay2")
    if driver is None or driver == "keep":
        driver = "fuse-overlayfs"
    if driver == "auto" and docker is not None and docker.overlay is not None:
        driver = "overlay2" if docker.overlay else "fuse-overlayfs"
    source, repository = container.install_source, container.install_repository
    return Install(source, driver, repository, container.nvidia, insists)


def lacks_docker(docker: ObservedDocker) -> bool:
    """Whether it has none, or one that does not answer and never held anything.

    The second is what an installation that was cut short leaves.
    """
    if docker.state == "none":
        return True
    runs = docker.elsewhere or any(one.name == "dockerd" for one in docker.engines)
    return docker.state == "dead" and not (runs or kept_by(docker))


def kept_by(docker: ObservedDocker) -> str:
    """What its Docker holds, in words, whether it answers or not; "" for nothing."""
    if docker.state == "ok":
        return docker.held
    found = {"container": docker.containers, "volume": docker.volumes}
    found["layer"] = sum(docker.stores.values())
    return ", ".join(f"{n} {word}{'s' * (n != 1)}" for word, n in found.items() if n)


def install_obstacle(install: Install, docker: ObservedDocker) -> str:
    """Why it cannot be installed there, as far as that is known, "" for nothing."""
    if docker.manager not in MANAGERS:
        return f"its guest ({docker.os or 'of an unknown kind'}) has {NEITHER}: do it there by hand"
    if install.source == "docker-ce" and docker.manager == "apk":
        return 'Docker has no packages for apk: write "docker_source": "distro"'
    try:
        document = DaemonJson.parse(docker.file.text if docker.file else "")
    except DaemonJsonError as error:
        return f"{DAEMON_JSON}: {error}: correct it in the guest"
    if document[SNAPSHOTTER] is True:
        return f"its {DAEMON_JSON} says {SNAPSHOTTER} true: take that out there"
    if document[DRIVER] in (None, install.driver) or install.driver == "auto":
        return ""
    return (
        f"its {DAEMON_JSON} says another {DRIVER} than {install.driver}: take the line out there, "
        'or have the fleet file say the same with "storage_driver"'
    )
