"""What a first look says of a node itself: its login, versions, AppArmor, log and backups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.login import PYTHON, ObservedLogin
from phoenix.text.printable import printable
from phoenix.text.some import some


class Aspect(StrEnum):
    """What a check is about."""

    LOGIN = "login"
    PYTHON = "python3"
    ANSWER = "answer"
    PROXMOX = "proxmox"
    KERNEL = "kernel"
    LXC = "lxc"
    APPARMOR = "apparmor"
    DENIALS = "denials"
    BACKUPS = "backups"


_NOTE = Severity.NOTE

#: The findings of a node that a check tells; all others stand for themselves.
TOLD = {
    Code.OLD_KERNEL: Aspect.KERNEL,
    Code.APPARMOR_UNUSABLE: Aspect.APPARMOR,
    Code.OLD_PARSER: Aspect.APPARMOR,
}


@dataclass(frozen=True)
class Check:
    """What was seen of one aspect, and what to do; `severity`: None where all is well.

    With an error no run can do anything on this node.
    """

    aspect: Aspect
    text: str
    severity: Severity | None = None
    fix: str = ""

    @property
    def state(self) -> str:
        """In one word."""
        return str(self.severity or "ok")


#: A node that can be logged in to, and whose answer did not come or is not understood.
SILENT = Check(
    Aspect.ANSWER,
    "it did not tell what it was asked (see above)",
    Severity.ERROR,
    "mend that, then look again",
)


def login_checks(login: ObservedLogin) -> Iterator[Check]:
    """Whether the node's program can be sent there and do its work."""
    if login.uid is None:
        fix = "log in with a shell that runs commands, as root"
        yield Check(Aspect.LOGIN, "its shell does not say who logs in", Severity.ERROR, fix)
        return
    if login.uid:
        text = f"{login.user or login.uid} is not root"
        fix = "log in as root, as in PHOENIX_NODES=root@NODE, or with pyinfra's --sudo"
        yield Check(Aspect.LOGIN, text, Severity.ERROR, fix)
    else:
        yield Check(Aspect.LOGIN, login.user or "root")
    least = ".".join(map(str, PYTHON))
    if login.python is None:
        fix = "apt install python3 on the node"
        yield Check(Aspect.PYTHON, "python3 is missing", Severity.ERROR, fix)
    elif login.python < PYTHON:
        text = f"{'.'.join(map(str, login.python))} is older than {least}"
        fix = "upgrade the node to Proxmox VE 7 or newer"
        yield Check(Aspect.PYTHON, text, Severity.ERROR, fix)
    else:
        yield Check(Aspect.PYTHON, ".".join(map(str, login.python)))
    # others have no sbin in their PATH
    if not login.pct and not login.uid:
        fix = "name a Proxmox VE node"
        yield Check(Aspect.PROXMOX, "pct is missing", Severity.ERROR, fix)


def node_checks(facts: NodeFacts, findings: Sequence[Finding]) -> Iterator[Check]:
    """How it stands with the node; `findings`: those that are about it and no container."""
    packages, seen = facts.versions.packages, facts.versions
    if version := printable(packages.get("pve-manager", "")):
        yield Check(Aspect.PROXMOX, f"pve-manager {version}")
    else:
        yield Check(Aspect.PROXMOX, "no package pve-manager: its version is not known", _NOTE)
    yield _found(Aspect.KERNEL, printable(seen.release) or "not known", findings)
    yield _lxc(facts)
    parser = ".".join(map(str, facts.apparmor.parser or ()))
    version = printable(packages.get("apparmor", "")) or parser
    loaded = len(facts.apparmor.loaded)
    text = f"{version}, enforces, {loaded} profile{'s' * (loaded != 1)} loaded"
    yield _found(Aspect.APPARMOR, text, findings)
    yield _denials(facts)
    yield from _backups(facts)


def _found(aspect: Aspect, text: str, findings: Sequence[Finding]) -> Check:
    """What was found of an aspect, the worst of it first; `text`: where nothing was."""
    order = [*Severity]
    its = sorted(
        (one for one in findings if TOLD.get(one.code) == aspect),
        key=lambda one: order.index(one.severity),
    )
    if not its:
        return Check(aspect, text)
    fixes = "; ".join(one.fix for one in its if one.fix)
    return Check(aspect, "; ".join(one.message for one in its), its[0].severity, fixes)


def _lxc(facts: NodeFacts) -> Check:
    lxc = facts.versions.lxc
    if lxc is None:
        version = printable(facts.versions.packages.get("lxc", ""))
        text = f"lxc {version}: nothing is known of it" if version else "its version is not known"
        return Check(Aspect.LXC, text, _NOTE)
    text = printable(f"{lxc.package} {lxc.version}")
    if lxc.is_fixed:
        return Check(Aspect.LXC, text)
    # which container it is about is a finding of its own, version.lxc
    text += (
        ": under the profile that it generates runc since its fixes for CVE-2025-52881 starts "
        "nothing; a profile with a name is not concerned"
    )
    return Check(Aspect.LXC, text, _NOTE, f"upgrade it to {lxc.floor} or newer")


def _denials(facts: NodeFacts) -> Check:
    source, missing = facts.denials.source, facts.denials.missing
    if source == "audit.log":
        severity = _NOTE if missing else None
        text = "auditd writes all of them into its audit.log"
        return Check(Aspect.DENIALS, missing or text, severity)
    text = f"no auditd: {source or 'no log'} is read"
    lost = missing or "some denials are lost before anybody reads them: apt install auditd"
    return Check(Aspect.DENIALS, f"{text}, {lost}", _NOTE)


def _backups(facts: NodeFacts) -> Iterator[Check]:
    """Of which containers there is none that is known; templates need none."""
    confs = facts.containers.containers
    own = [ctid for ctid, one in sorted(confs.items()) if not one.conf.template]
    without = [str(ctid) for ctid in own if facts.backups.newest(ctid) is None]
    unknown = printable("; ".join(facts.backups.problems), None)
    if own and not without:
        yield Check(Aspect.BACKUPS, "of each container", _NOTE if unknown else None, unknown)
    elif own:
        text = f"none is known of CT {some(without)}"
        text += f" ({unknown})" if unknown else ""
        yield Check(Aspect.BACKUPS, text, Severity.WARNING, f"vzdump {without[0]} makes one")
