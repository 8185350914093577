"""What changes inside a container: its daemon.json, and the packages that go before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from phoenix.docker.daemon_json import DaemonJson, DaemonJsonError, digest, held, merge
from phoenix.docker.install import Install
from phoenix.docker.names import DAEMON_JSON
from phoenix.docker.observed import ODD, ObservedDocker
from phoenix.docker.storage_driver import needs_fuse, plan_driver
from phoenix.plan.options import Force
from phoenix.plan.reasons import Reason, Why

#: Why a guest is left alone that is no system with a Docker in it.
_APPLICATION = (
    "an application container (entrypoint), in which nothing is asked, and the fleet file lists "
    'docker: without "docker" in its features it is confined, and proven from the '
    f"node; or --data force={Force.ENGINE}"
)


@dataclass(frozen=True)
class GuestChange:
    """daemon.json before and after (None: not there); `packages`: to install first."""

    before: str | None
    after: str | None
    packages: tuple[str, ...] = ()

    @property
    def file_changes(self) -> bool:
        """Whether daemon.json itself changes (else Docker only has to start anew)."""
        return self.before != self.after

    @property
    def digest_before(self) -> str:
        """The sha256 of daemon.json before, `none` where there is none."""
        return digest(self.before)


@dataclass(frozen=True)
class GuestPlan:
    """What is to be done in a guest."""

    #: None for nothing.
    change: GuestChange | None = None
    #: Its Docker can be asked whether it works.
    provable: bool = True
    #: The storage driver after its next start, "" where that is not known, and now.
    driver: str = ""
    driver_now: str = ""
    #: It needs the feature fuse.
    fuse: bool = False
    #: The managed keys of daemon.json that are ours once this is done.
    managed: Mapping[str, str | bool] = field(default_factory=dict)
    #: It has none, and a run brings it.
    install: Install | None = None
    #: Why the container is not to be touched at all.
    alone: str = ""
    reasons: tuple[Reason, ...] = ()
    #: Lines for people.
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def plan_guest(
    wanted: str | None,
    docker: ObservedDocker | None,
    managed: Mapping[str, str | bool],
    has_fuse: bool,
    force: Collection[Force] = (),
) -> GuestPlan:
    """Plan a guest that shall have Docker.

    `wanted`: `storage_driver` of the fleet file; `docker`: None where nobody asked the guest;
    `managed`: those that earlier runs wrote; `has_fuse`: its conf has fuse=1.
    """
    # without an answer the feature stays as it is: Docker may need it
    unknown = GuestPlan(fuse=has_fuse, managed=managed)
    if docker is None or docker.state == "stopped":
        return unknown
    if docker.state == "none":
        return GuestPlan(provable=False, fuse=has_fuse, managed=managed)
    if docker.elsewhere:
        if Force.ENGINE not in force:
            return GuestPlan(fuse=has_fuse, managed=managed, alone=_elsewhere(docker))
        text = "its containers are not proven: only its services and ports are compared"
        return GuestPlan(provable=False, fuse=has_fuse, managed=managed, notes=(text,))
    if docker.state == "application":
        if Force.ENGINE not in force:
            return GuestPlan(fuse=has_fuse, managed=managed, alone=_APPLICATION)
        text = "its Docker is not asked: only that it stays up, and its open ports, are proven"
        return GuestPlan(provable=False, fuse=has_fuse, managed=managed, notes=(text,))
    if docker.state not in ("ok", "dead"):
        return GuestPlan(fuse=has_fuse, managed=managed, alone=_silent(docker))
    try:
        if docker.state == "dead":
            DaemonJson.parse(docker.file.text if docker.file else "")
            text = f"its Docker does not answer ({docker.error}): its storage driver is kept"
            return GuestPlan(fuse=has_fuse, managed=managed, notes=(text,))
        return _plan(wanted, docker, managed, has_fuse, force)
    except DaemonJsonError as error:
        text = f"{DAEMON_JSON}: {error}: dockerd will not start with it: correct it in the guest"
        return GuestPlan(fuse=has_fuse, managed=managed, alone=text)


def with_install(
    plan: GuestPlan, install: Install, docker: ObservedDocker, has_fuse: bool
) -> GuestPlan:
    """The plan of a guest into which Docker comes; it is proven once it is there."""
    fuse = needs_fuse(install.driver) and (has_fuse or not docker.dev_fuse)
    return replace(plan, install=install, provable=False, fuse=fuse, notes=())


def _plan(
    wanted: str | None,
    docker: ObservedDocker,
    managed: Mapping[str, str | bool],
    has_fuse: bool,
    force: Collection[Force],
) -> GuestPlan:
    plan = plan_driver(wanted, docker, Force.DOCKER_DATA in force)
    text = docker.file.text if docker.file else None
    fuse = needs_fuse(plan.driver) and (has_fuse or not docker.dev_fuse)
    change = None
    # else ours stays too: without its name dockerd may choose another driver at its next start
    if plan.settings:
        merged = merge(text, {**held(text, managed), **plan.settings}, managed)
        managed = merged.managed
        change = GuestChange(text, merged.text, plan.packages)
    reasons = (
        *(Reason(Why.STORAGE_DRIVER, text) for text in plan.reasons),
        *(Reason(Why.PACKAGE, f"package {name}") for name in plan.packages),
    )
    return GuestPlan(
        change=change,
        driver=plan.driver,
        driver_now=docker.driver,
        fuse=fuse,
        managed=managed,
        reasons=reasons,
        notes=plan.notes,
        problems=plan.problems,
    )


def _elsewhere(docker: ObservedDocker) -> str:
    """Why a guest is left alone whose containers are run by something else."""
    engines = ", ".join(map(str, docker.elsewhere[:3]))
    return (
        f"its containers are run by {engines}, which cannot be asked as Docker, and for which the "
        'profiles have no rules; with apparmor_profile generated and without "docker" '
        "in its features it is confined, and what runs in it compared; or --data "
        f"force={Force.ENGINE}"
    )


def _silent(docker: ObservedDocker) -> str:
    """Why a guest that was not to be asked is left alone."""
    if docker.state == "hung":
        return "its guest gave no answer in time: pct console, or restart it first"
    if docker.state == "noshell":
        return (
            'its guest has no shell to ask Docker with: without "docker" in its '
            "features it is confined, and proven from the node"
        )
    if docker.state == "flooded":
        return "its guest says more than anybody reads: see what its docker is"
    if docker.error.startswith(ODD):
        return f"{docker.error}: put it right in the guest"
    return f"its guest cannot be entered ({docker.error})"
