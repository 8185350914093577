"""A first look at a node: whether it can be hardened, which of its containers, and if not, why.

It needs no fleet file. Without one the confs of the node stand for it (`proposed`): what runs
Docker shall have our profile for that, what runs something else Proxmox's own. What is said of a
container then is what the plan of `harden` makes of that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from phoenix.apparmor.observed import Label
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Fleet
from phoenix.fleet.parse import parse_fleet
from phoenix.fleet.warnings import GENERATED
from phoenix.plan.actions import NodePlan
from phoenix.plan.audit import UNANSWERED, AuditedContainer, audit_node
from phoenix.plan.confinement import named_in, says_open, template_text
from phoenix.plan.doctor_checks import SILENT, TOLD, Aspect, Check, login_checks, node_checks
from phoenix.plan.etc_pve import check_etc_pve
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import BESIDE, DRIFT, Finding, Severity
from phoenix.plan.node import plan_node, selected, set_apart, unreadable_runs
from phoenix.plan.options import Options
from phoenix.plan.reasons import summary
from phoenix.plan.render import profile_names
from phoenix.plan.unmanaged import how_confined, least_entry
from phoenix.pve.login import ObservedLogin
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import is_privileged
from phoenix.text.printable import printable

#: The profile for Docker with GPUs, and how their devices are called.
_GPU_PROFILE, _GPU = "lxc-nesting-gpu-docker-storage", "/dev/nvidia"


class Readiness(StrEnum):
    """How it stands with a container."""

    #: It is under AppArmor, or will be from its next start on; there is nothing to do.
    CONFINED = "confined"
    #: `harden` can do it now.
    READY = "ready"
    #: Something stands against it.
    BLOCKED = "blocked"
    #: It is not confined, and nobody can tell what runs in it: it is stopped or does not answer.
    UNKNOWN = "unknown"
    #: It never runs.
    TEMPLATE = "template"


@dataclass(frozen=True)
class ContainerLook:
    """A container at first look.

    `label`: PID 1's, `docker`: what its Docker says of itself, each `-` where there is none;
    `backup`: the age of its newest one, in words; `text`: what would change, or why nothing can;
    `is_open`: it runs without AppArmor, or will from its next start on; `is_backed_up`: a backup
    of it is known.
    """

    ctid: int
    name: str
    label: str
    docker: str
    backup: str
    readiness: Readiness
    text: str
    is_open: bool
    is_backed_up: bool


@dataclass(frozen=True)
class NodeLook:
    """A node at first look.

    `findings`: what else needs attention, of the node and of containers beside their confinement;
    `entries`: what a fleet file would say of those that are ready, by CTID; nothing where one was
    given.
    """

    node: str
    checks: tuple[Check, ...] = ()
    containers: tuple[ContainerLook, ...] = ()
    findings: tuple[Finding, ...] = ()
    entries: Mapping[int, Mapping[str, object]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def broken(self) -> tuple[Check, ...]:
        """What has to be put right before anything can be done there at all."""
        return tuple(one for one in self.checks if one.severity == Severity.ERROR)

    @property
    def stops(self) -> tuple[Finding, ...]:
        """What stands against every change of the node, and will not always."""
        whole = (one for one in self.findings if one.ctid is None)
        return tuple(one for one in whole if one.severity == Severity.ERROR)


def fleet_text(entries: Mapping[int, Mapping[str, object]]) -> str:
    """The text of a fleet file with these containers."""
    lines = [f'    "{ctid}": {json.dumps(entry)}' for ctid, entry in sorted(entries.items())]
    return '{\n  "lxc_configs": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def look_without(name: str, login: ObservedLogin) -> NodeLook | None:
    """A node that can be asked nothing more; None: it can."""
    look = NodeLook(name, tuple(login_checks(login)))
    return look if look.broken else None


def look_silent(name: str, login: ObservedLogin) -> NodeLook:
    """A node that one can log in to, and that did not answer what it was asked then."""
    return NodeLook(name, (*login_checks(login), SILENT))


def look_at(
    *,
    login: ObservedLogin,
    facts: NodeFacts,
    options: Options,
    templates: Mapping[str, str],
    fleet: Fleet | None,
) -> NodeLook:
    """Judge a node. Pure; what is wrong is in the result, nothing raised.

    `templates`: as `plan_node` has them; `fleet`: None where no fleet file was given.
    """
    names = profile_names(templates)
    entries = {} if fleet else proposed(facts, options, names)
    file = fleet or parse_fleet(fleet_text(entries).encode(), names)
    plan = _plan(file, options, facts, templates)
    audit = audit_node(fleet=file, options=options, facts=facts, plan=plan)
    own = [one for one in audit.findings if one.ctid is None]
    checks = [one for one in login_checks(login) if one.aspect != Aspect.PROXMOX]
    look = NodeLook(
        facts.containers.node,
        (*checks, *node_checks(facts, own)),
        findings=tuple(
            one
            for one in own
            if one.needs_attention and one.code not in DRIFT and one.code not in TOLD
        ),
    )
    if look.broken:
        return look
    rows = {one.ctid: one for one in audit.containers if one.managed}
    judged = tuple(
        _Container(
            observed=observed,
            facts=facts,
            plan=plan,
            stops=look.stops,
            row=rows.get(ctid),
            missing_in=options.fleet if fleet else "",
        ).look()
        for ctid, observed in sorted(facts.containers.containers.items())
        if not options.only or ctid in options.only
    )
    # of one that is confined its own line has them
    told = {one.ctid for one in judged if one.readiness != Readiness.CONFINED}
    beside = (
        one
        for one in audit.findings
        if one.ctid in told and one.code in BESIDE and one.needs_attention
    )
    ready = {one.ctid for one in judged if one.readiness == Readiness.READY}
    return replace(
        look,
        containers=judged,
        findings=(*look.findings, *beside),
        entries={ctid: entry for ctid, entry in entries.items() if ctid in ready},
    )


def proposed(
    facts: NodeFacts, options: Options, names: Collection[str]
) -> dict[int, dict[str, object]]:
    """What a fleet file would say of the containers of a node, by CTID.

    Of those that run, answer, and are not confined by a profile that is nobody's here; `names`: of
    the templates.
    """
    entries = {}
    for ctid, observed in facts.containers.containers.items():
        docker = facts.dockers.get(ctid)
        if (options.only and ctid not in options.only) or not observed.running:
            continue
        if docker and docker.state not in UNANSWERED and (its := _entry(observed, docker, names)):
            entries[ctid] = its
    return entries


def _entry(
    observed: ObservedContainer, docker: ObservedDocker, names: Collection[str]
) -> dict[str, object] | None:
    """The least that confines it, and leaves its Docker the storage driver that it has."""
    conf = observed.conf
    entry = least_entry(observed, docker)
    named = named_in(conf, observed.includes)
    profile = Label.parse(named).profile
    if profile in names and not is_privileged(conf):
        # somebody has chosen that
        entry["apparmor_profile"] = profile
    elif named != GENERATED and not says_open(conf, observed.includes):
        return None
    elif "features" in entry and any(_GPU in line.value for line in conf.main.lines):
        entry |= {"features": ["docker", "nvidia"], "apparmor_profile": _GPU_PROFILE}
    return {**entry, "storage_driver": "keep"} if "features" in entry else entry


def _plan(
    fleet: Fleet, options: Options, facts: NodeFacts, templates: Mapping[str, str]
) -> NodePlan:
    """What `harden` would do there, and what stands against it."""
    plan = plan_node(fleet=fleet, options=options, facts=facts, templates=templates)
    chosen = [one.ctid for one in selected(fleet, options, facts.containers)]
    plan = set_apart(plan, facts.runs.interrupted, chosen)
    against = (*unreadable_runs(facts.runs.problems), *check_etc_pve(plan, facts.etc_pve))
    return replace(plan, findings=(*plan.findings, *against))


@dataclass(frozen=True, kw_only=True)
class _Container:
    """One container on its way to its look.

    `row`: what the audit says of it, None without an entry in a fleet file; `missing_in`: the file
    that has none, "" where there is no file.
    """

    observed: ObservedContainer
    facts: NodeFacts
    plan: NodePlan
    stops: Sequence[Finding]
    row: AuditedContainer | None
    missing_in: str

    def look(self) -> ContainerLook:
        """How it stands with it."""
        ctid, backups = self.observed.ctid, self.facts.backups
        readiness, text = self._judge()
        return ContainerLook(
            ctid=ctid,
            name=printable(self.observed.conf.hostname or ""),
            label=self.observed.label or "-",
            docker=str(self._docker or "-"),
            backup=backups.text(ctid),
            readiness=readiness,
            text=text,
            is_open=self._is_open,
            is_backed_up=backups.newest(ctid) is not None,
        )

    def _judge(self) -> tuple[Readiness, str]:
        if self.observed.conf.template:
            return Readiness.TEMPLATE, template_text(self.observed)
        return self._listed(self.row) if self.row else self._unlisted()

    def _listed(self, row: AuditedContainer) -> tuple[Readiness, str]:
        """By what `harden` would do."""
        ctid, plan = self.observed.ctid, self.plan
        if any(one.ctid == ctid for one in plan.interrupted):
            return Readiness.BLOCKED, row.verdict
        said = (one for one in plan.findings if one.ctid == ctid)
        against = [one.text for one in said if one.severity == Severity.ERROR]
        if against := against or [*filter(None, (plan.alone.get(ctid, ""),))]:
            return Readiness.BLOCKED, "; ".join(against)
        if ctid in plan.touched:
            text = "; ".join(self._todo())
            if self.stops:
                return Readiness.BLOCKED, f"waits for what stands against the node: {text}"
            return Readiness.READY, text
        if self._label.confined or (not self.observed.label and row.ok):
            return Readiness.CONFINED, row.verdict
        return Readiness.BLOCKED, row.verdict

    def _todo(self) -> Iterator[str]:
        """What would be done, and what of it one wants to know before."""
        if change := self.plan.changes.get(self.observed.ctid):
            yield summary(change.reasons)
            yield "restarts" if change.restart else "does not restart"
        if not self.observed.running:
            yield "stopped: Docker inside was not checked"
        if is_privileged(self.observed.conf):
            yield "privileged: root in it is root of the node, which no profile holds"

    def _unlisted(self) -> tuple[Readiness, str]:
        """By how it is: no run touches it."""
        how, _ = how_confined(self.observed, usable=True)
        missing = f"not in {self.missing_in}" if self.missing_in else ""
        if not self._is_open:
            return Readiness.CONFINED, "; ".join(filter(None, (missing, how)))
        if missing:
            entry = json.dumps(least_entry(self.observed, self._docker))
            add = f'add it there: "{self.observed.ctid}": {entry}'
            return Readiness.BLOCKED, ": ".join(("; ".join(filter(None, (missing, how))), add))
        if not self.observed.running:
            return Readiness.UNKNOWN, f"{how}; what runs in it is known once it is started"
        docker = self._docker
        if docker is None or docker.state in UNANSWERED:
            why = UNANSWERED[docker.state] if docker else "its guest was not asked"
            see = f"see with pct console {self.observed.ctid}"
            return Readiness.UNKNOWN, f"{why}, so what runs in it is not known: {see}"
        named = printable(named_in(self.observed.conf, self.observed.includes), None)
        text = f"runs as {self._label}, its conf says {named}: a restart makes that true"
        if self._label.profile == Label.parse(named).profile:
            text = f"runs as {self._label}: in mode {self._label.mode} its profile confines nothing"
        return Readiness.UNKNOWN, how or text

    @property
    def _is_open(self) -> bool:
        return how_confined(self.observed, usable=True)[1]

    @property
    def _label(self) -> Label:
        return Label.parse(self.observed.label or "unconfined")

    @property
    def _docker(self) -> ObservedDocker | None:
        return self.facts.dockers.get(self.observed.ctid)
