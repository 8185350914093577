"""What a plan consists of: the changes that a run makes on one node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from phoenix.apparmor.observed import Label
from phoenix.docker.names import PROBE_DEFAULT
from phoenix.plan.findings import HELD, LEFT_ALONE, Code, Finding, Severity, texts
from phoenix.plan.guest import GuestChange
from phoenix.plan.install import InstallChange
from phoenix.plan.profiles import OwnFileChange, ProfileChange
from phoenix.plan.reasons import Reason
from phoenix.plan.site_tunables import SiteTunablesChange
from phoenix.plan.tunables import TunablesChange
from phoenix.pve.conf import PveConf
from phoenix.pve.ha import IGNORED
from phoenix.pve.health import HealthCheck
from phoenix.pve.managed import Managed
from phoenix.runs.files import Interrupted

if TYPE_CHECKING:
    from phoenix.plan.creation import Creation

_WATCH = {"on": "installed", "off": "removed", "keep": "updated"}


@dataclass(frozen=True)
class ContainerChange:
    """One container to change."""

    ctid: int
    name: str
    #: Its conf now, and as it shall be.
    before: PveConf
    after: PveConf
    #: What PID 1 shall carry, None where nothing is asked for.
    label: Label | None
    #: Restart it to make the change real.
    restart: bool
    #: Prove its Docker afterwards.
    docker: bool
    reasons: tuple[Reason, ...]
    #: What our runs have brought into the conf once this is done; None: leave that as it is noted.
    managed: Managed | None = None
    #: What changes in the guest, None for nothing.
    guest: GuestChange | None = None
    #: The storage drivers that Docker shall say afterwards and says now, "" where not known.
    driver: str = ""
    driver_before: str = ""
    #: What its owner runs and goes without.
    accept: tuple[str, ...] = ()
    #: Seconds after the proof in which nothing may go down; 0: the gate's own.
    settle: int = 0
    #: What its owner asks of it to see that it works.
    health: HealthCheck | None = None
    #: What its Docker runs on: a container of our own proves it where we have a program for that.
    architecture: str = PROBE_DEFAULT
    #: What HA is asked for of it, and is again once this is done; "": HA does not manage it.
    ha: str = ""
    #: Who must not be down at the same time.
    apart: tuple[int, ...] = ()

    @property
    def ha_line(self) -> str:
        """What is done to HA meanwhile, in one line; "" for nothing."""
        done = f"ha-manager set ct:{self.ctid} --state {IGNORED}, and back to {self.ha}"
        return f"CT {self.ctid}: {done}" if self.ha else ""


@dataclass(frozen=True)
class FileChange:
    """A file to write or remove: its text now and then (None: not there), and its mode."""

    path: str
    before: str | None
    after: str | None
    mode: str


@dataclass(frozen=True)
class WatchChange:
    """What changes of a node's watch (`phoenix.plan.watch`): files, and its timer."""

    timer: Literal["on", "off", "keep"]
    files: tuple[FileChange, ...] = ()
    #: Containers came to the node or left it: nothing is otherwise than it shall be.
    moved: bool = False

    @property
    def line(self) -> str:
        """What becomes of it, in one line."""
        return f"watch: {_WATCH[self.timer]}"


@dataclass(frozen=True)
class FileRevert:
    """A file of the node that goes back: its text now and as it shall be, None for none.

    `digest`: SHA-256 of what is there now. Both texts are the same where only a new file goes that
    a run which was cut short left beside it.
    """

    path: str
    before: str | None
    after: str | None
    digest: str


@dataclass(frozen=True)
class Removal:
    """Packages to take out of a guest again, by `manager` (apt, apk or dnf).

    `daemon`: they are a Docker that a run installed, and its daemon.json goes back with them.
    """

    ctid: int
    packages: tuple[str, ...]
    manager: str
    daemon: GuestChange | None = None


@dataclass(frozen=True)
class Destruction:
    """A container that a run has made and that goes, its conf as that run has left it.

    `stays`: the datasets and folders that the run may have made for it.
    """

    ctid: int
    name: str
    before: PveConf
    running: bool
    stays: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """What becomes of it, in one line."""
        how = "shut down and destroyed" if self.running else "destroyed"
        kept = f"; these stay: {', '.join(self.stays)}" if self.stays else ""
        return f"CT {self.ctid} {self.name}: {how}, with its disks{kept}"


Action: TypeAlias = (
    "TunablesChange | SiteTunablesChange | OwnFileChange | ProfileChange | Interrupted | "
    "Creation | ContainerChange | InstallChange | Destruction | Removal | FileRevert | WatchChange"
)


@dataclass(frozen=True)
class NodePlan:
    """Everything that a run does on one node, in its order, and what was found on the way.

    `files`, `removals` and `destructions` belong to a rollback, `creations` to create; what is
    `interrupted` cannot be planned before it has been recovered.
    """

    node: str
    profiles: tuple[ProfileChange, ...] = ()
    containers: tuple[ContainerChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    tunables: TunablesChange | None = None
    files: tuple[FileRevert, ...] = ()
    removals: tuple[Removal, ...] = ()
    destructions: tuple[Destruction, ...] = ()
    interrupted: tuple[Interrupted, ...] = ()
    watch: WatchChange | None = None
    own_files: tuple[OwnFileChange, ...] = ()
    site_tunables: SiteTunablesChange | None = None
    creations: tuple[Creation, ...] = ()
    installs: tuple[InstallChange, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said and stops nothing, one line each."""
        return texts(self.findings, Severity.NOTE, Severity.WARNING)

    @property
    def problems(self) -> tuple[str, ...]:
        """What stops the run before anything changes, each with the node."""
        return tuple(f"{self.node}: {text}" for text in texts(self.findings, Severity.ERROR))

    @cached_property
    def alone(self) -> Mapping[int, str]:
        """Whom the run leaves as it should not be, and why: the others go on.

        For a fault of its guest, or because its restart is somebody else's.
        """
        apart = {one.ctid for one in self.interrupted}
        held = (one for one in self.findings if one.code in HELD and one.needs_attention)
        faults = (one for one in self.findings if one.code in LEFT_ALONE)
        found = (*faults, *(one for one in held if one.ctid not in apart))
        return {one.ctid: one.text for one in found if one.ctid is not None}

    @property
    def drift(self) -> tuple[Finding, ...]:
        """What of the node itself the run puts right, its containers aside, in its order."""
        tunables = [*(self.tunables.lines() if self.tunables else ())]
        tunables += [self.site_tunables.line] if self.site_tunables else []
        lines = [
            *((Code.DRIFT_TUNABLES, line) for line in tunables),
            *((Code.DRIFT_FILE, file.line) for file in self.own_files),
            *((Code.DRIFT_PROFILE, profile.line) for profile in self.profiles),
        ]
        found = [Finding(code, Severity.WARNING, line) for code, line in lines]
        if watch := self.watch:
            weight = Severity.NOTE if watch.moved else Severity.WARNING
            found.append(Finding(Code.DRIFT_WATCH, weight, watch.line))
        return tuple(found)

    @property
    def packages(self) -> tuple[ContainerChange, ...]:
        """The containers whose guests need packages first."""
        return tuple(one for one in self.containers if one.guest and one.guest.packages)

    @cached_property
    def changes(self) -> Mapping[int, ContainerChange]:
        """`containers` by CTID."""
        return {one.ctid: one for one in self.containers}

    @property
    def touched(self) -> Mapping[int, ContainerChange | InstallChange]:
        """The containers to which anything is done, by CTID."""
        return {
            **self.changes,
            **{one.ctid: one for one in self.installs},
        }

    @property
    def only_installs(self) -> tuple[InstallChange, ...]:
        """Those to which nothing is done but that Docker comes in."""
        return tuple(one for one in self.installs if one.ctid not in self.changes)

    @property
    def actions(self) -> tuple[Action, ...]:
        """What a run does, one after another, as the recipes have it."""
        return (
            *(one for one in (self.tunables, self.site_tunables) if one),
            *self.own_files,
            *self.profiles,
            *self.interrupted,
            *self.creations,
            *(one for one in self.removals if one.daemon),
            *self.containers,
            *self.installs,
            *self.destructions,
            *(one for one in self.removals if not one.daemon),
            *self.files,
            *(one for one in (self.watch,) if one),
        )

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return not self.actions

    @property
    def writes_confs(self) -> bool:
        """Whether the conf of a container is written."""
        return bool(self.containers or self.creations or self.destructions or self.interrupted)

    @property
    def prepares(self) -> bool:
        """Whether the node itself needs something before its containers."""
        return bool(self.tunables or self.site_tunables or self.own_files or self.profiles)
