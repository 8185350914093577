"""The heart: what must change on a node, why, and what restarts.

`plan_node` compares the fleet file with what the facts saw. harden applies its result, `--dry`
prints it, audit renders it: drift is a plan that is not empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from phoenix.apparmor.allows import written_allows
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Container, Fleet
from phoenix.fleet.order import in_order
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.as_made import as_made
from phoenix.plan.confinement import wanted
from phoenix.plan.container import ContainerPlanner, left_alone
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.hookscripts import hookscript_findings
from phoenix.plan.install import InstallChange
from phoenix.plan.needs import still_needed
from phoenix.plan.options import Options
from phoenix.plan.profiles import ProfileUsers, nobodys, plan_own_files, plan_profile, without_room
from phoenix.plan.raw_rules import new_rules, rule_problems
from phoenix.plan.render import profile_names
from phoenix.plan.site_tunables import plan_site_tunables
from phoenix.plan.tunables import plan_tunables
from phoenix.plan.versions import guest_findings, kernel_findings, parser_findings
from phoenix.pve.observed import ObservedPct
from phoenix.runs.files import Interrupted
from phoenix.text.some import some

#: So many of the containers are named that no node has.
_SHOWN = 20


def check_selection(fleet: Fleet, options: Options, nodes: Sequence[ObservedPct]) -> list[str]:
    """The problems of `only=` over all nodes: a CTID that the file or every node lacks."""
    problems = []
    for ctid in options.only:
        container = fleet.containers.get(ctid)
        way = ": phoenix create makes it" if container and container.is_described else ""
        problem = _named_wrongly(fleet, options, ctid) or _absent(ctid, nodes, way)
        problems += [problem] if problem else []
    return problems


def check_present(options: Options, nodes: Sequence[ObservedPct]) -> list[str]:
    """The problems of `only=` where no fleet file counts: a CTID that every node lacks."""
    return [problem for ctid in options.only if (problem := _absent(ctid, nodes))]


def _absent(ctid: int, nodes: Sequence[ObservedPct], way: str = "") -> str:
    """Where a container is that none of the nodes has, "" if one has it; `way` to have it made."""
    if any(ctid in node.containers for node in nodes):
        return ""
    if place := place_elsewhere(ctid, nodes):
        way = "add that to PHOENIX_NODES, or bring it up"
        return f"only={ctid}: it is on {place}, which this run does not reach: {way}"
    return f"only={ctid}: no node of this inventory has a container {ctid}{way}"


def place_elsewhere(ctid: int, nodes: Sequence[ObservedPct]) -> str:
    """The node of their cluster that has a container, by what these say; "" where none does."""
    return next((node.elsewhere[ctid] for node in nodes if ctid in node.elsewhere), "")


def check_named(fleet: Fleet, options: Options) -> list[str]:
    """The problems of `only=` in which no node has a say."""
    return [text for ctid in options.only if (text := _named_wrongly(fleet, options, ctid))]


def _named_wrongly(fleet: Fleet, options: Options, ctid: int) -> str:
    """Why a CTID of `only=` means nothing, "" if it means a container of the file."""
    if ctid not in fleet.containers:
        return f"only={ctid}: {options.fleet} has no lxc_configs.{ctid}: add it there"
    if not options.takes(fleet.containers[ctid]):
        text = "has no Docker as far as the file says, and scope=docker: leave that out"
        return f"only={ctid}: {text}"
    return ""


def absent_note(fleet: Fleet, options: Options, nodes: Iterable[ObservedPct]) -> str | None:
    """One line that names the containers of the file that no node has, or None."""
    nodes = list(nodes)
    present = {ctid for node in nodes for ctid in node.containers}
    elsewhere = {ctid: name for node in nodes for ctid, name in node.elsewhere.items()}
    absent = [
        f"{ctid} (on {elsewhere[ctid]})" if ctid in elsewhere else str(ctid)
        for ctid, container in fleet.containers.items()
        if ctid not in present and options.takes(container)
    ]
    if not absent or options.only:
        return None
    return f"in {options.fleet} but on no node of this inventory: {some(absent, _SHOWN)}"


def selected(fleet: Fleet, options: Options, node: ObservedPct) -> list[Container]:
    """The containers of the file that are on this node and asked for, in the file's order."""
    return [
        container
        for ctid, container in fleet.containers.items()
        if ctid in node.containers and options.takes(container)
    ]


def set_apart(
    plan: NodePlan, interrupted: Iterable[Interrupted], wanted: Iterable[int]
) -> NodePlan:
    """Take what is interrupted out of a plan; `wanted`: the containers that are the run's business.

    Another one stays as it is, with a note.
    """
    asked = set(wanted)
    mine = tuple(one for one in interrupted if one.ctid in asked)
    others = (
        Finding(
            Code.INTERRUPTED,
            Severity.NOTE,
            one.text,
            one.ctid,
            fix=f"run again with only={one.ctid} to recover it",
        )
        for one in interrupted
        if one.ctid not in asked
    )
    apart = {one.ctid for one in mine}
    containers = tuple(change for change in plan.containers if change.ctid not in apart)
    goes = tuple(one for one in plan.destructions if one.ctid not in apart)
    findings = (*plan.findings, *others)
    return replace(
        plan, containers=containers, destructions=goes, interrupted=mine, findings=findings
    )


def cut_and_away(plan: NodePlan, node: ObservedPct) -> Iterator[Finding]:
    """What was interrupted here in containers that are on other nodes now: no row tells of it."""
    for one in plan.interrupted:
        if one.ctid not in node.containers:
            where = node.elsewhere.get(one.ctid, "no node")
            yield Finding(
                Code.INTERRUPTED,
                Severity.WARNING,
                f"run {one.run} was interrupted here in CT {one.ctid}, which is on {where} now",
                fix="harden on both nodes closes that",
            )


def without_containers(plan: NodePlan) -> NodePlan:
    """What of a plan touches no container, and no conf of any, and what stands against that."""
    stops = tuple(
        one
        for one in plan.findings
        if one.severity == Severity.ERROR and one.code != Code.PVE_READ_ONLY
    )
    return replace(plan, containers=(), interrupted=(), installs=(), findings=stops)


def unreadable_runs(problems: Iterable[str]) -> Iterator[Finding]:
    """What stands against every change: what such a run did, and where it was cut, is not known."""
    return (Finding(Code.RUN_UNREADABLE, Severity.ERROR, problem) for problem in problems)


def rules_to_compile(
    fleet: Fleet, options: Options, node: ObservedPct
) -> tuple[tuple[int, str], ...]:
    """The rules for generated profiles that no conf has yet, each with its container."""
    fleet = as_made(fleet, node)
    return tuple(
        (container.ctid, rule)
        for container in selected(fleet, options, node)
        for rule in new_rules(
            container, wanted(container, options).profile, node.containers[container.ctid]
        )
    )


def plan_node(
    *,
    fleet: Fleet,
    options: Options,
    facts: NodeFacts,
    templates: Mapping[str, str],
    data_roots: Mapping[int, str] = MappingProxyType({}),
) -> NodePlan:
    """Compare the fleet file with one node. Pure; what is wrong is in the result, nothing raised.

    `templates`: file name to text, those of the profiles and of `HOOK_TEMPLATE`; `data_roots`:
    where Docker keeps its data on other nodes, by CTID.
    """
    pct, apparmor = facts.containers, facts.apparmor
    fleet = as_made(fleet, pct)
    if apparmor.problem:
        unusable = Finding(Code.APPARMOR_UNUSABLE, Severity.ERROR, apparmor.problem)
        return NodePlan(pct.node, findings=(unusable,))
    # the audit asks more guests than a run changes; both plan the same
    asked = {one.ctid for one in selected(fleet, options, pct) if one.docker}
    dockers = {ctid: docker for ctid, docker in facts.dockers.items() if ctid in asked}
    unreadable = (Finding(Code.NODE_UNREADABLE, Severity.ERROR, text) for text in pct.problems)
    tunables, in_the_way = plan_tunables(apparmor)
    site, against = plan_site_tunables(fleet.tunables, apparmor)
    findings = [*unreadable, *in_the_way, *against]
    findings += _rule_findings(fleet, options, facts)
    findings += _hookscripts(fleet, options, facts)
    findings += kernel_findings(fleet, options, facts)
    findings += parser_findings(facts)
    findings += guest_findings(fleet, options, facts, dockers)
    users = _users(fleet, options, pct, {**data_roots, **known_data_roots(dockers)})
    profiles = [
        plan_profile(confinement, users, apparmor, templates, findings)
        for confinement in users.confinements
    ]
    crowded = without_room(users, apparmor)
    sources = {one: users.sources(one, apparmor) for one in users.confinements}
    containers: list[ContainerChange] = []
    installs: list[InstallChange] = []
    for container in in_order(selected(fleet, options, pct)):
        confinement = wanted(container, options)
        installed = apparmor.files.get(users.present(container.ctid)) or ""
        its = ContainerPlanner(
            container=container,
            options=options,
            observed=pct.containers[container.ctid],
            storage=facts.storage,
            docker=dockers.get(container.ctid),
            templates=templates,
            sources=sources.get(confinement, ()),
            withdrawn=written_allows(installed) - {*confinement.allows},
            no_room=crowded.get(container.ctid, ""),
            findings=findings,
        )
        if change := its.plan():
            containers.append(change)
        if its.install:
            installs.append(its.install)
    findings += nobodys(users, apparmor, profile_names(templates))
    plan = NodePlan(
        pct.node,
        containers=tuple(containers),
        findings=tuple(findings),
        tunables=tunables,
        own_files=plan_own_files(users.confinements, apparmor, templates),
        site_tunables=site,
    )
    # the profile of one that is left alone stays what it is
    alone = {
        confinement.profile for confinement in users.confinements if confinement.own in plan.alone
    }
    kept = tuple(change for change in profiles if change and change.name not in alone)
    confined = tuple(one for one in installs if one.ctid not in plan.alone)
    return replace(plan, profiles=kept, installs=confined)


def _rule_findings(fleet: Fleet, options: Options, facts: NodeFacts) -> Iterator[Finding]:
    for container in selected(fleet, options, facts.containers):
        observed = facts.containers.containers[container.ctid]
        if not left_alone(observed, options):
            profile = wanted(container, options).profile
            for problem in rule_problems(container, profile, facts.apparmor, facts.rules):
                yield Finding(Code.RULE_REFUSED, Severity.ERROR, problem, container.ctid)
    if facts.rules.unchecked:
        said = " ".join(facts.rules.unchecked.split())
        text = f"apparmor_raw is not compiled beforehand: {said}"
        yield Finding(Code.RULES_UNCHECKED, Severity.NOTE, text)


def _hookscripts(fleet: Fleet, options: Options, facts: NodeFacts) -> Iterator[Finding]:
    versions = facts.versions
    for container in selected(fleet, options, facts.containers):
        observed = facts.containers.containers[container.ctid]
        need = still_needed(Code.HOOKSCRIPT, wanted(container, options), versions)
        yield from hookscript_findings(observed, container, facts.hookscripts, need)


def _users(
    fleet: Fleet,
    options: Options,
    pct: ObservedPct,
    data_roots: Mapping[int, str],
) -> ProfileUsers:
    chosen = tuple(container.ctid for container in selected(fleet, options, pct))
    return ProfileUsers(fleet, options, pct, chosen, data_roots)


def known_data_roots(dockers: Mapping[int, ObservedDocker]) -> Mapping[int, str]:
    """Where Docker keeps its data, of those whose Docker answered."""
    return {ctid: docker.data_root for ctid, docker in dockers.items() if docker.state == "ok"}
