"""What an audit finds on one node: everything that a plan would change, and how it is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from phoenix.apparmor.observed import Label, generated_profile
from phoenix.docker.fallen import Fallen
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Container, Fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.as_made import as_made
from phoenix.plan.collisions import collision_findings
from phoenix.plan.conf import seen_by_docker
from phoenix.plan.confinement import (
    PROFILE_KEY,
    is_learning,
    named_in,
    says_open,
    template_text,
    unproven,
    until_restart,
    wanted,
)
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import HELD, LEFT_ALONE, Code, Finding, Severity, by_container
from phoenix.plan.guest_workarounds import guest_workarounds
from phoenix.plan.hookscripts import hookscript_findings
from phoenix.plan.mounted_ids import mounted_ids
from phoenix.plan.needs import before_it_goes, still_needed
from phoenix.plan.options import Options
from phoenix.plan.overrides import override_findings
from phoenix.plan.reasons import summary
from phoenix.plan.silent_mounts import silent_findings
from phoenix.plan.unmanaged import judge_unmanaged
from phoenix.plan.versions import guest_findings
from phoenix.plan.workarounds import workaround_findings
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import WAY_OUT, is_privileged
from phoenix.text.printable import printable

HARDEN = "phoenix harden"

#: What a confined container may have wrong with it all the same.
_BESIDE = frozenset(
    {
        *(*LEFT_ALONE, Code.DOCKER_DOWN, Code.HOOKSCRIPT, Code.RAW_RULE, Code.INCLUDE),
        *(Code.OLD_LXC, Code.OLD_RUNC),
    }
)

#: How a guest was asked in vain.
UNANSWERED = {
    "hung": "its guest gave no answer in time",
    "flooded": "its guest says more than anybody reads",
    "failed": "its guest cannot be asked",
}


@dataclass(frozen=True, kw_only=True)
class AuditedContainer:
    """A line of the audit's table.

    `wanted`: the profile that the fleet file asks for; `label`: PID 1's; `docker`: what its Docker
    says of itself; each `-` where there is none. `state`: in words, where nothing needs attention;
    `findings`: those about it; `managed`: the fleet file names it.
    """

    node: str
    ctid: int
    name: str
    wanted: str
    label: str
    docker: str
    state: str
    findings: tuple[Finding, ...] = ()
    managed: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing about it needs attention."""
        return not any(one.needs_attention for one in self.findings)

    @property
    def verdict(self) -> str:
        """What is wrong with it and what to do, or that nothing is."""
        attention = [one for one in self.findings if one.needs_attention]
        # errors stand above the table
        found = [one for one in attention if one.severity == Severity.WARNING or one.code in HELD]
        found = found or attention
        if not found:
            return self.state
        # what is wrong beside its confinement comes after it
        text = "; ".join(one.text for one in sorted(found, key=lambda one: one.code in _BESIDE))
        confined = self.state.partition("; ")[0] == "confined"
        beside = confined and all(one.code in _BESIDE for one in found)
        return f"confined, but {text}" if beside else text


@dataclass(frozen=True)
class NodeAudit:
    """What one audit found on one node: `containers` by CTID, and all findings."""

    node: str
    containers: tuple[AuditedContainer, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing about the node itself needs attention, its containers aside."""
        return not any(one.needs_attention for one in self.findings if one.ctid is None)

    @property
    def needs_attention(self) -> bool:
        """Whether a strict audit fails on this node."""
        return any(one.needs_attention for one in self.findings)


def audit_node(*, fleet: Fleet, options: Options, facts: NodeFacts, plan: NodePlan) -> NodeAudit:
    """Judge a node by its plan and by how it is now, each container that the options ask for."""
    pct, dockers = facts.containers, facts.dockers
    fleet = as_made(fleet, pct)
    findings = [*plan.findings, *plan.drift, *override_findings(facts.overrides)]
    states = {}
    planned, owners = by_container(plan.findings), _owners(fleet, options)
    for ctid, observed in sorted(pct.containers.items()):
        container = fleet.containers.get(ctid)
        if not _is_asked_for(container, options):
            continue
        said = planned.get(ctid, ())
        docker = dockers.get(ctid)
        its = _Container(fleet, options, observed, docker, plan, said, owners)
        findings += its.judge()
        findings += collision_findings(observed, said)
        findings += silent_findings(observed, facts.storage.silent, said)
        states[ctid] = its.state
        findings += _beside(container, options, observed, facts, said)
    # the plan has said it of those whose Docker is its business
    others = [ctid for ctid in states if not _has_docker(fleet.containers.get(ctid))]
    findings += guest_findings(fleet, options, facts, others)
    about = by_container(findings)
    rows = (
        _row(fleet, options, pct.containers[ctid], dockers.get(ctid), state, about.get(ctid, ()))
        for ctid, state in states.items()
    )
    return NodeAudit(pct.node, tuple(rows), tuple(findings))


def _beside(
    container: Container | None,
    options: Options,
    observed: ObservedContainer,
    facts: NodeFacts,
    planned: Sequence[Finding],
) -> Iterator[Finding]:
    """What is told of a container beside its confinement; `planned`: what the plan has found."""
    ctid = observed.ctid
    confinement = wanted(container, options) if container else None
    seen = ""
    if container and confinement:
        seen = seen_by_docker(container, confinement, observed)
    need, first = (
        partial(words, confinement=confinement, versions=facts.versions, seen=seen)
        for words in (still_needed, before_it_goes)
    )
    yield from workaround_findings(observed, container, need, first)
    # those of the fleet file's containers are the plan's
    if not any(one.code == Code.HOOKSCRIPT for one in planned):
        needed = need(Code.HOOKSCRIPT)
        yield from hookscript_findings(observed, container, facts.hookscripts, needed)
    yield from guest_workarounds(observed, facts.dockers.get(ctid), need)
    yield from mounted_ids(observed)
    yield from _fell_over(observed, facts.fallen.get(ctid))


def _owners(fleet: Fleet, options: Options) -> Mapping[str, int]:
    """Whose own each profile is that is one container's, by its name."""
    every = ((ctid, wanted(one, options)) for ctid, one in fleet.containers.items())
    return {its.profile: ctid for ctid, its in every if its.own is not None}


def _is_asked_for(container: Container | None, options: Options) -> bool:
    """Whether the audit is about it; None: the fleet file does not name it."""
    if container is None:
        return not options.only and options.unmanaged != "ignore"
    return options.takes(container)


def _has_docker(container: Container | None) -> bool:
    return container is not None and container.docker


def _row(
    fleet: Fleet,
    options: Options,
    observed: ObservedContainer,
    docker: ObservedDocker | None,
    state: str,
    findings: Sequence[Finding],
) -> AuditedContainer:
    container = fleet.containers.get(observed.ctid)
    return AuditedContainer(
        node=observed.node,
        ctid=observed.ctid,
        name=observed.conf.hostname or "",
        wanted=wanted(container, options).profile if container else "-",
        label=observed.label or "-",
        docker=str(docker) if docker else "-",
        state=state,
        findings=tuple(findings),
        managed=container is not None,
    )


def _fell_over(observed: ObservedContainer, fallen: Fallen | None) -> Iterator[Finding]:
    """What worked when a run proved the container, and has failed since."""
    if fallen is None:
        return
    name = printable(observed.conf.hostname or "")

    def note(text: str, fix: str = "") -> Finding:
        return Finding(Code.FELL_OVER, Severity.NOTE, text, observed.ctid, name, fix)

    for thing in fallen.things:
        yield note(f"fell over since run {fallen.run} proved it: {thing}", thing.next_step)
    if fallen.more:
        yield note(f"and {fallen.more} more that fell over since run {fallen.run}")
    if fallen.why:
        yield note(f"what fell over since run {fallen.run} cannot be told: {fallen.why}")


@dataclass
class _Container:
    """One container on its way to its findings; `state`: in words, where all is well.

    `planned`: what the plan has found about it; `owners`: whose own each profile of one is.
    """

    fleet: Fleet
    options: Options
    observed: ObservedContainer
    docker: ObservedDocker | None
    plan: NodePlan
    planned: Sequence[Finding]
    owners: Mapping[str, int]
    state: str = field(default="", init=False)

    def judge(self) -> Iterator[Finding]:
        """How it is: the first that applies, and an interrupted run beside it."""
        observed = self.observed
        for one in self.plan.interrupted:
            if one.ctid == observed.ctid:
                yield self._warning(Code.INTERRUPTED, one.text, f"{self._again} recovers it")
        if owner := self._owner():
            text = f"under the own profile of CT {owner}, with all that it grants"
            yield self._warning(Code.OTHERS_PROFILE, text)
            return
        container = self.fleet.containers.get(observed.ctid)
        if container is None:
            yield from self._not_listed()
        elif observed.conf.template:
            self.state = template_text(observed)
        else:
            yield from self._listed(container)

    def _not_listed(self) -> Iterator[Finding]:
        found = judge_unmanaged(self.observed, self.docker, self.options, self._usable)
        self.state = found.text
        if found.wrong:
            yield self._warning(Code.NOT_LISTED, found.text, found.fix)

    def _listed(self, container: Container) -> Iterator[Finding]:
        confinement, label = wanted(container, self.options), self._label
        expected = confinement.label(self.observed.ctid)
        privileged = is_privileged(self.observed.conf)
        root = ", but privileged: root in it is root of the node" if privileged else ""
        self.state = f"confined{root}" if label else f"stopped; its conf is right{root}"
        self.state += "".join(f"; {one.message}" for one in self.planned if one.code in HELD)
        self.state += self._silent(container)
        change = self.plan.changes.get(self.observed.ctid)
        drift = change.reasons if change else ()
        # a plan that would name it has refused that, with both ways out
        if confinement.named and privileged and not self._is_said(Code.PRIVILEGED):
            text = "privileged: root in it is root of the node, which no profile holds"
            yield self._warning(Code.PRIVILEGED, text, WAY_OUT)
        elif why := self._fell_out(expected.profile if expected else ""):
            text = f"fell out of confinement, as after a rollback or restore: {why}"
            yield self._warning(Code.FELL_OUT, text, self._again)
        elif confinement.template == "unconfined" and (text := self._on_request()):
            fix = "phoenix adopt names a profile in the fleet file"
            yield self._warning(Code.UNCONFINED, text, fix)
        elif is_learning(label) if label else confinement.learning and not drift:
            text = "learning: complain mode only logs violations, the container is not confined"
            fix = "run harden without mode=complain when finished"
            yield self._warning(Code.LEARNING, text, fix)
        elif drift:
            yield self._warning(Code.DRIFT, f"drift: {summary(drift)}")
        elif label and expected and not (label.matches(expected) and label.mode == expected.mode):
            yield self._warning(Code.OTHER_LABEL, f"runs as {label}, not {expected}")
        elif label and (down := self._down(container)):
            yield self._warning(Code.DOCKER_DOWN, *down)
        elif not label and (why := self._unproven()):
            yield self._warning(Code.OTHER_LABEL, why)

    def _on_request(self) -> str:
        """In words that it is, or will be, unconfined as the fleet file asks; "" if it is not."""
        if not (self._label and self._label.confined):
            return "unconfined on request"
        said = says_open(self.observed.conf, self.observed.includes)
        return f"{until_restart(said)}, as the fleet file asks" if said else ""

    def _unproven(self) -> str:
        """Why one without a label is not taken for confined, "" if it is.

        That the plan has nothing for it proves nothing: it may have been refused, or not been made.
        """
        said = any(one.needs_attention for one in self.planned)
        return "" if said else unproven(self.observed, self._usable)

    @property
    def _usable(self) -> bool:
        """Whether the node has an AppArmor that can confine anything."""
        return not any(one.code == Code.APPARMOR_UNUSABLE for one in self.plan.findings)

    def _is_said(self, code: Code) -> bool:
        """Whether the plan has found it already."""
        return any(one.code == code for one in self.planned)

    def _down(self, container: Container) -> tuple[str, str] | None:
        """What is wrong with its Docker, and where to look; a plan may have said it already.

        One that the fleet file does not list is nobody's business.
        """
        docker = self.docker
        if docker is None or not container.docker:
            return None
        if any(one.code in LEFT_ALONE for one in self.planned):
            return None
        if docker.state in ("failed", "flooded"):
            return docker.error or "its guest cannot be asked", "look there"
        if docker.state in ("dead", "hung", "noshell"):
            return f"Docker is {docker.state}", "journalctl -u docker in the guest"
        return None

    def _silent(self, container: Container) -> str:
        """That one which shall have no Docker was asked for it in vain: no fault, and not known."""
        if self.docker is None or container.docker or self.docker.state not in UNANSWERED:
            return ""
        return f"; {UNANSWERED[self.docker.state]}: what runs in it is not known"

    def _owner(self) -> int | None:
        """The other container whose own profile this one has, as a clone of it does."""
        named = self.observed.conf.main.raw(PROFILE_KEY)[-1:]
        has = {Label.parse(text).profile for text in (self.observed.label or "", *named)}
        found = {self.owners[profile] for profile in has if profile in self.owners}
        return min(found - {self.observed.ctid}, default=None)

    def _fell_out(self, wanted: str) -> str | None:
        """In what it is no longer what a run of ours has proven, and still shall be."""
        observed, label = self.observed, self._label
        if not wanted or Managed.parse(observed.managed).profile != wanted:
            return None
        named = named_in(observed.conf, observed.includes)
        generated = generated_profile(observed.ctid)
        profile = generated if named == "generated" else named.split("//&")[0]
        if profile != wanted:
            return f"its conf says {named}"
        return f"PID 1 runs as {label}" if label and label.profile != wanted else None

    @property
    def _label(self) -> Label | None:
        return Label.parse(self.observed.label) if self.observed.label else None

    @property
    def _again(self) -> str:
        return f"{HARDEN} --only {self.observed.ctid}"

    def _warning(self, code: Code, message: str, fix: str = "") -> Finding:
        name = printable(self.observed.conf.hostname or "")
        return Finding(code, Severity.WARNING, message, self.observed.ctid, name, fix)
