"""What is not as it should be, on a node or in a container: one list for all who tell of it.

The plan and the audit find; the terminal, the JSON file, the page and `strict=true` only read.
Codes are for programs and stay; messages are for people and may be said better tomorrow.
`docs/reference/findings.md` explains each code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from phoenix.text.printable import printable


class Severity(StrEnum):
    """How much a finding weighs."""

    #: A run is refused before anything changes.
    ERROR = "error"
    #: Not as it should be: it needs attention, and a strict audit fails.
    WARNING = "warning"
    #: To be known; nothing is wrong by it alone.
    NOTE = "note"


class Code(StrEnum):
    """What was found. A code is never given to another thing."""

    # --- of a node
    APPARMOR_UNUSABLE = "apparmor.unusable"
    NODE_UNREADABLE = "node.unreadable"
    PVE_READ_ONLY = "pve.read-only"
    TUNABLES_BROKEN = "tunables.broken"
    TUNABLES_SITE = "tunables.site"
    RUN_UNREADABLE = "run.unreadable"
    PROFILE_REFUSED = "profile.refused"
    PROFILE_FOREIGN = "profile.foreign"
    PROFILE_UNUSED = "profile.unused"
    FILE_CHANGED = "file.changed"
    RULES_UNCHECKED = "rules.unchecked"
    DRIFT_TUNABLES = "drift.tunables"
    DRIFT_FILE = "drift.file"
    DRIFT_PROFILE = "drift.profile"
    DRIFT_WATCH = "drift.watch"
    OVERRIDE_KERNEL = "override.kernel"
    OVERRIDE_LXC = "override.lxc"
    OVERRIDE_FILE = "override.file"
    OLD_KERNEL = "version.kernel"
    OLD_PARSER = "version.parser"
    # --- of a container: against what the fleet file asks for
    RULE_REFUSED = "rule.refused"
    NEEDS_NAMED_PROFILE = "profile.unnamed"
    PERMIT_MISSING = "permit.missing"
    PERMIT_GIVEN = "permit.given"
    CONF_REFUSED = "conf.refused"
    CONFLICT = "conflict"
    BACKUP_MISSING = "backup.missing"
    SNAPSHOT_IMPOSSIBLE = "snapshot.impossible"
    # --- of a container: that is to be made
    NOT_MADE = "create.refused"
    TAKEN = "create.taken"
    EXISTS = "create.exists"
    NO_SOURCE = "create.no-source"
    NO_GPU = "create.no-gpu"
    MADE = "create.note"
    # --- of a container: left alone
    TEMPLATE = "left.template"
    LOCKED = "left.locked"
    HA = "left.ha"
    GONE = "left.gone"
    SILENT = "left.silent"
    PENDING = "left.pending"
    PENDING_LINES = "left.pending-lines"
    GUEST = "left.guest"
    STORAGE_DRIVER = "left.storage-driver"
    FUSE = "left.fuse"
    DATA_ROOT = "left.data-root"
    WOULD_BREAK = "left.would-break"
    ARCHITECTURE = "left.architecture"
    COLLISION = "left.collision"
    MOUNT = "left.mount"
    INCLUDED = "left.include"
    APART = "left.apart"
    # --- of a container: how it is
    PRIVILEGED = "privileged"
    UNCONFINED = "unconfined"
    NOT_LISTED = "not-listed"
    FELL_OUT = "fell-out"
    LEARNING = "learning"
    OTHER_LABEL = "label"
    OTHERS_PROFILE = "profile.of-another"
    INTERRUPTED = "interrupted"
    DRIFT = "drift.container"
    DOCKER_DOWN = "docker.down"
    FELL_OVER = "fell-over"
    MASK = "workaround.mask"
    CAPABILITIES = "workaround.capabilities"
    WRITABLE = "workaround.writable"
    DEVICES = "workaround.devices"
    HOLD = "workaround.hold"
    HOOKSCRIPT = "workaround.hookscript"
    SECCOMP = "workaround.seccomp"
    INCOMPLETE = "workaround.incomplete"
    RAW_RULE = "workaround.raw-rule"
    NESTING = "workaround.nesting"
    INCLUDE = "workaround.include"
    WRAPPER = "workaround.runc-wrapper"
    SECURITY_OPT = "workaround.security-opt"
    COMPOSE = "workaround.compose"
    SILENT_BIND = "mount.silent"
    IDMAP = "workaround.idmap"
    OLD_LXC = "version.lxc"
    OLD_RUNC = "version.runc"
    OLD_DOCKER = "version.docker"
    # --- of a container: what a plan has to say of it
    RESTART_DUE = "restart.due"
    PENDING_KEYS = "pending"
    DOCKER_UNSEEN = "docker.unseen"
    DOCKER_PARTLY = "docker.partly"
    PACKAGES_STAY = "packages.stay"
    DOCKER_MISSING = "docker.missing"
    CREATED = "created"
    MOVED = "moved"
    CONF = "conf"
    DOCKER = "docker"
    HEALTH_CHECK = "health-check"


#: What a run of harden puts right.
DRIFT = frozenset({one for one in Code if one.startswith("drift.")})

#: What an audit tells beside its verdicts, where it needs no attention.
BESIDE = frozenset(
    {
        *(Code.FELL_OVER, Code.DOCKER_MISSING, Code.DOCKER_PARTLY, Code.SILENT_BIND),
        *(one for one in Code if one.startswith(("workaround.", "override.", "version."))),
    }
)

#: A fault of the guest, of its conf, or of what the fleet file asks for it: the others go on, the
#: run's exit code says that one was left.
LEFT_ALONE = frozenset(
    {
        *(Code.GUEST, Code.STORAGE_DRIVER, Code.FUSE, Code.DATA_ROOT),
        *(Code.WOULD_BREAK, Code.ARCHITECTURE, Code.PENDING_LINES, Code.COLLISION),
        *(Code.MOUNT, Code.INCLUDED, Code.SILENT),
    }
)


#: Whose restart is somebody else's at the moment, or another node's. Where its conf is as wanted,
#: or gone for good, that is a note.
HELD = frozenset({Code.LOCKED, Code.HA, Code.PENDING, Code.APART, Code.GONE})


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    `ctid`: the container that it is about, None for the node; `name`: that container's hostname;
    `fix`: what to do about it, "" where the message says all. Both texts are printable.
    """

    code: Code
    severity: Severity
    message: str
    ctid: int | None = None
    name: str = ""
    fix: str = ""

    @property
    def scope(self) -> str:
        """What it is about: `node` or `container`."""
        return "node" if self.ctid is None else "container"

    @property
    def text(self) -> str:
        """The message and what to do, without whose it is."""
        return printable(": ".join(filter(None, (self.message, self.fix))), None)

    @property
    def needs_attention(self) -> bool:
        """Whether a strict audit fails on it."""
        return self.severity != Severity.NOTE

    def __str__(self) -> str:
        whose = "" if self.ctid is None else f"CT {self.ctid} {self.name}".rstrip() + ": "
        return printable(f"{whose}{self.text}", None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the audit's JSON file has them."""
        return {
            "code": str(self.code),
            "severity": str(self.severity),
            "scope": self.scope,
            "ctid": self.ctid,
            "message": printable(self.message, None),
            "fix": printable(self.fix, None),
        }


def texts(findings: Iterable[Finding], *severities: Severity) -> tuple[str, ...]:
    """Those of these severities as lines, in their order."""
    return tuple(str(one) for one in findings if one.severity in severities)


def by_container(findings: Iterable[Finding]) -> Mapping[int | None, Sequence[Finding]]:
    """Findings by the container that they are about, each kind in its order; None: the node."""
    found: dict[int | None, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.ctid, []).append(one)
    return found
