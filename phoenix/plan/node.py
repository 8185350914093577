"""The heart: what must change on a node, why, and what restarts.

`plan_node` compares the fleet file with what the facts saw. harden applies its result, `--dry`
prints it, audit renders it: drift is a plan that is not empty.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from phoenix.apparmor.allows import written_allows
from phoenix.apparmor.generated_rules import ObservedRules
from phoenix.apparmor.observed import PROFILE_NAME, Label, ObservedAppArmor
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Container, Fleet
from phoenix.fleet.order import in_order
from phoenix.fleet.permits import permits
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.conf import holder, plan_conf, restart_reasons
from phoenix.plan.confinement import Wish, wanted
from phoenix.plan.guest import GuestPlan, plan_guest
from phoenix.plan.options import Options
from phoenix.plan.profiles import Wearers, nobodys, plan_own_files, plan_profile, without_room
from phoenix.plan.raw_rules import new_rules, rule_problems
from phoenix.plan.refusals import TEMPLATES, Refusal, is_under_its_rules, refusals
from phoenix.plan.render import profile_names
from phoenix.plan.site_tunables import plan_site_tunables
from phoenix.plan.tunables import plan_tunables
from phoenix.pve.features import Features
from phoenix.pve.managed import Ours
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.privileged import NOT_HELD, WAY_OUT, is_privileged
from phoenix.pve.storage import ObservedStorage
from phoenix.runs.files import Unsettled
from phoenix.text.printable import printable

_BASED = re.compile(r"{%-? *extends *[\"']base\.j2[\"']")

#: So many of the things that a profile would refuse are told of a container.
_SHOWN = 5


@dataclass
class _Findings:
    """What planning a node collects on its way."""

    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    alone: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Known:
    """Of a container's profile: what it will name beside its patterns, and no longer grant."""

    sources: Collection[str] = ()
    withdrawn: Collection[str] = ()


def check_selection(fleet: Fleet, options: Options, nodes: Sequence[ObservedPct]) -> list[str]:
    """The problems of `only=` over all nodes: a CTID that the file or every node lacks."""
    present = {ctid for node in nodes for ctid in node.containers}
    elsewhere = {ctid: name for node in nodes for ctid, name in node.elsewhere.items()}
    problems = []
    for ctid in options.only:
        if ctid not in fleet.containers:
            problems.append(f"only={ctid}: {options.fleet} has no lxc_configs.{ctid}: add it there")
        elif ctid not in present and ctid in elsewhere:
            problems.append(f"only={ctid}: it is on {elsewhere[ctid]}: add that to PHOENIX_NODES")
        elif ctid not in present:
            problems.append(f"only={ctid}: no node of this inventory has a container {ctid}")
    return problems


def absent_note(fleet: Fleet, options: Options, nodes: Iterable[ObservedPct]) -> str | None:
    """One line that names the containers of the file that no node has, or None."""
    nodes = list(nodes)
    present = {ctid for node in nodes for ctid in node.containers}
    elsewhere = {ctid: name for node in nodes for ctid, name in node.elsewhere.items()}
    absent = [
        f"{ctid} (on {elsewhere[ctid]})" if ctid in elsewhere else str(ctid)
        for ctid in fleet.containers
        if ctid not in present
    ]
    if not absent or options.only:
        return None
    return f"in {options.fleet} but on no node of this inventory: {', '.join(absent)}"


def selected(fleet: Fleet, options: Options, node: ObservedPct) -> list[Container]:
    """The containers of the file that are on this node and asked for, in the file's order."""
    return [
        container
        for ctid, container in fleet.containers.items()
        if ctid in node.containers and (not options.only or ctid in options.only)
    ]


def set_apart(plan: NodePlan, unsettled: Iterable[Unsettled], wanted: Iterable[int]) -> NodePlan:
    """Take what is unsettled out of a plan; `wanted`: the containers that are the run's business.

    Another one stays as it is, with a note.
    """
    asked = set(wanted)
    mine = tuple(one for one in unsettled if one.ctid in asked)
    others = (
        f"CT {one.ctid}: run {one.run} was cut short there: a run with only={one.ctid} settles it"
        for one in unsettled
        if one.ctid not in asked
    )
    apart = {one.ctid for one in mine}
    containers = tuple(change for change in plan.containers if change.ctid not in apart)
    return replace(plan, containers=containers, unsettled=mine, notes=(*plan.notes, *others))


def docker_ctids(fleet: Fleet, options: Options, node: ObservedPct) -> list[int]:
    """The running containers among the selected ones that shall have Docker: whom to ask."""
    return [
        container.ctid
        for container in selected(fleet, options, node)
        if container.docker and node.containers[container.ctid].pid
    ]


def storage_paths(fleet: Fleet, options: Options, node: ObservedPct) -> list[str]:
    """The host paths that the selected containers want: what to look for on the node."""
    chosen = selected(fleet, options, node)
    mounts = {mount.source for container in chosen for mount in container.mounts}
    return sorted(mounts | {device for container in chosen for device in container.devices})


def profile_files(fleet: Fleet, options: Options, node: ObservedPct) -> list[str]:
    """The profiles that the selected containers name, or have: the files to look at on the node."""
    wearers = _wearers(fleet, options, node, {})
    wished = [wish.profile for wish in wearers.wishes]
    present = (wearers.present(ctid) for ctid in wearers.chosen)
    return [*dict.fromkeys((*wished, *filter(PROFILE_NAME.fullmatch, present)))]


def rules_to_compile(
    fleet: Fleet, options: Options, node: ObservedPct
) -> tuple[tuple[int, str], ...]:
    """The rules for generated profiles that no conf has yet, each with its container."""
    return tuple(
        (container.ctid, rule)
        for container in selected(fleet, options, node)
        for rule in new_rules(
            container, wanted(container, options).profile, node.containers[container.ctid]
        )
    )


def plan_node(
    fleet: Fleet,
    options: Options,
    pct: ObservedPct,
    apparmor: ObservedAppArmor,
    storage: ObservedStorage,
    templates: Mapping[str, str],
    rules: ObservedRules | None = None,
    dockers: Mapping[int, ObservedDocker] | None = None,
) -> NodePlan:
    """Compare the fleet file with one node. Pure; problems are in the result, none is raised.

    `templates`: file name to text, those of the profiles and of `HOOK_TEMPLATE`.
    """
    if apparmor.problem:
        return NodePlan(pct.node, problems=(f"{pct.node}: {apparmor.problem}",))
    tunables, in_the_way = plan_tunables(apparmor)
    site, against = plan_site_tunables(fleet.tunables, apparmor)
    problems = [f"{pct.node}: {problem}" for problem in (*pct.problems, *in_the_way, *against)]
    findings = _Findings(problems=problems)
    rules = rules or ObservedRules()
    findings.problems += _rule_problems(fleet, options, pct, apparmor, rules)
    if rules.unchecked:
        said = " ".join(rules.unchecked.split())
        findings.notes.append(f"apparmor_raw is not compiled beforehand: {said}")
    wearers = _wearers(fleet, options, pct, dockers or {})
    profiles = [
        plan_profile(wish, wearers, apparmor, templates, findings.problems)
        for wish in wearers.wishes
    ]
    crowded = without_room(wearers, apparmor)
    known = {ctid: _known(ctid, wearers, apparmor) for ctid in wearers.chosen}
    containers = [
        _plan_container(
            container, options, pct, storage, dockers or {}, templates, known, crowded, findings
        )
        for container in in_order(selected(fleet, options, pct))
    ]
    findings.notes += nobodys(wearers, apparmor, profile_names(templates))
    # the profile of one that is left alone stays what it is
    alone = {wish.profile for wish in wearers.wishes if wish.own in findings.alone}
    return NodePlan(
        pct.node,
        tuple(change for change in profiles if change and change.name not in alone),
        tuple(change for change in containers if change),
        tuple(printable(note, None) for note in findings.notes),
        tuple(printable(problem, None) for problem in findings.problems),
        tunables,
        own_files=plan_own_files(wearers.wishes, apparmor, templates),
        site_tunables=site,
        alone=findings.alone,
    )


def _rule_problems(
    fleet: Fleet,
    options: Options,
    pct: ObservedPct,
    apparmor: ObservedAppArmor,
    rules: ObservedRules,
) -> Iterator[str]:
    for container in selected(fleet, options, pct):
        if not left_alone(pct.containers[container.ctid]):
            profile = wanted(container, options).profile
            for problem in rule_problems(container, profile, apparmor, rules):
                yield f"{pct.node}: {problem}"


def _wearers(
    fleet: Fleet,
    options: Options,
    pct: ObservedPct,
    dockers: Mapping[int, ObservedDocker],
) -> Wearers:
    chosen = tuple(container.ctid for container in selected(fleet, options, pct))
    roots = {ctid: docker.data_root for ctid, docker in dockers.items() if docker.state == "ok"}
    return Wearers(fleet, options, pct, chosen, roots)


def _plan_container(
    container: Container,
    options: Options,
    pct: ObservedPct,
    storage: ObservedStorage,
    dockers: Mapping[int, ObservedDocker],
    templates: Mapping[str, str],
    known: Mapping[int, _Known],
    crowded: Mapping[int, str],
    findings: _Findings,
) -> ContainerChange | None:
    observed = pct.containers[container.ctid]
    title = f"CT {container.ctid} {_name(container, observed)}".rstrip()

    def note(text: str) -> None:
        findings.notes.append(f"{title}: {text}")

    def leave(reason: str) -> None:
        # who names a container wants to hear that nothing was done for it
        if container.ctid in options.only:
            findings.problems.append(f"{pct.node}: {title}: {reason}")
        else:
            note(reason)

    if reason := left_alone(observed):
        leave(reason)
        return None
    wish = wanted(container, options)
    if wish.mode == "complain" and wish.template == "generated":
        findings.problems.append(
            f"{pct.node}: {title}: mode=complain is for profiles with a name, and Proxmox "
            "generates this one: name one (apparmor_profile, or --data profile=NAME), or leave "
            "mode out"
        )
        return None
    if (container.allows or container.audits) and not wish.named:
        findings.problems.append(
            f"{pct.node}: {title}: apparmor_allows and apparmor_audit are for profiles with a "
            f"name, and its is {wish.template}: name one (apparmor_profile, or --data "
            "profile=NAME), or leave them out"
        )
        return None
    for permit in permits(container, storage, is_privileged(observed.conf)):
        if permit.word in options.allow:
            note(f"allowed ({permit.word}): {permit}")
        else:
            findings.problems.append(
                f"{pct.node}: {title}: {options.fleet}, {permit}: take it out there, or say that "
                f"it is meant: --data allow={permit.word}"
            )
    guest = _guest(container, options, observed, dockers)
    # what only the guest's own words stand against stops nobody else
    if alone := (
        guest.alone
        or "; ".join(guest.problems)
        or _no_fuse(container, guest)
        or crowded.get(container.ctid, "")
    ):
        findings.alone[container.ctid] = alone
        leave(alone)
        return None
    try:
        asked = _with_fuse(container, guest)
        plan = plan_conf(asked, wish, observed, storage, options.reconfine)
    except ValueError as error:
        findings.problems.append(f"{pct.node}: {title}: {error}")
        return None
    for text in (*plan.notes, *guest.notes):
        note(text)
    if container.docker and not observed.running:
        note("does not run: its Docker is not looked at")
    waiting = waiting_keys(observed)
    if waiting:
        note(f"{waiting} waits in [pve:pending] for the next start")
    changes = plan.after != observed.conf
    label = wish.label(container.ctid)
    due = restart_reasons(label, observed) if observed.running and not changes else ()
    restart = observed.running and bool(changes or due)
    if guest.change and options.restart == "never":
        note(f"{guest.reasons[0]}: waits for a run that may restart (restart=never)")
        guest = replace(guest, change=None, reasons=(), ours=_ours(observed).daemon)
    if restart and options.restart == "never":
        note("a restart is due (restart=never)")
        restart = False
    elif restart and waiting and not options.force:
        leave("left alone: a restart would apply it: settle it with pct, or --data force=true")
        return None
    its = known[container.ctid]
    if not (changes or restart or guest.change or its.withdrawn):
        return None
    if (restart or its.withdrawn) and not options.force:
        docker = dockers.get(container.ctid)
        refused = [
            *_refused(container, wish, observed, docker, guest.driver, templates, its, options)
        ]
        if refused:
            why = "; ".join(str(one) for one in refused[:_SHOWN])
            more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
            owners = ",".join(dict.fromkeys(one.owner for one in refused))
            reason = f"left alone: {why}{more}; to go on without: --data accept={owners}"
            findings.alone[container.ctid] = reason
            leave(reason)
            return None
    if not (changes or restart or guest.change):
        return None
    if wish.named and is_privileged(plan.after) and not options.force:
        findings.problems.append(
            f"{pct.node}: {title}: {wish.template} for a privileged container: {NOT_HELD}. "
            f"{WAY_OUT}; to have it under the profile all the same: --data force=true"
        )
        return None
    ours = replace(plan.ours, daemon=guest.ours)
    return ContainerChange(
        container.ctid,
        _name(container, observed),
        observed.conf,
        plan.after,
        label,
        restart,
        container.docker and guest.provable,
        (*plan.reasons, *due, *guest.reasons),
        # what only its next start makes true is not proven
        ours
        if observed.running and not restart
        else replace(ours, profile=label.profile if label else ""),
        guest.change,
        guest.driver,
        guest.driver_now,
        options.accept,
        options.settle,
    )


def _known(ctid: int, wearers: Wearers, apparmor: ObservedAppArmor) -> _Known:
    wish = wanted(wearers.fleet.containers[ctid], wearers.options)
    present = apparmor.files.get(wearers.present(ctid)) or ""
    return _Known(wearers.sources(wish, apparmor), written_allows(present) - {*wish.allows})


def _refused(
    container: Container,
    wish: Wish,
    observed: ObservedContainer,
    docker: ObservedDocker | None,
    driver: str,
    templates: Mapping[str, str],
    known: _Known,
    options: Options,
) -> Iterator[Refusal]:
    """What works in the guest today and would not under the profile that it is to have."""
    ours = wish.template in TEMPLATES and _BASED.search(templates.get(f"{wish.template}.j2", ""))
    if not docker or not ours or wish.learning:
        return
    label = Label.parse(observed.label or "")
    if not is_under_its_rules(label, container.ctid, known.withdrawn):
        mounted = [target for _, target in docker.fstab if holder(observed.conf, target.strip("/"))]
        mounted = [target.rstrip("/") for target in mounted]
        yield from refusals(
            docker, driver, wish.profile, known.sources, options.accept, mounted, wish.allows
        )


def _ours(observed: ObservedContainer) -> Ours:
    return Ours.parse(observed.ours)


def _guest(
    container: Container,
    options: Options,
    observed: ObservedContainer,
    dockers: Mapping[int, ObservedDocker],
) -> GuestPlan:
    if not container.docker:
        return GuestPlan()
    has_fuse = Features.parse(observed.conf.main["features"]).on("fuse")
    return plan_guest(
        container.storage_driver,
        dockers.get(container.ctid),
        _ours(observed).daemon,
        has_fuse,
        options.force,
    )


def _with_fuse(container: Container, guest: GuestPlan) -> Container:
    """What the fleet file asks for, and fuse=1 where Docker needs it.

    What the file says wins: it may switch it off where nothing is known of Docker.
    """
    if not guest.fuse:
        return container
    return replace(container, features={"fuse": "1", **container.features})


def _no_fuse(container: Container, guest: GuestPlan) -> str:
    """Why the fleet file and the guest's Docker do not go together, "" if they do."""
    if guest.fuse and guest.driver and container.features.get("fuse", "1") != "1":
        return "fuse-overlayfs needs fuse=1, and pct_options says fuse=0"
    return ""


def _name(container: Container, observed: ObservedContainer) -> str:
    return printable(observed.conf.hostname or container.name or "")


def left_alone(observed: ObservedContainer) -> str | None:
    """Why no run touches a container at all, or None."""
    if observed.conf.template:
        return "a template, left alone"
    if observed.conf.lock:
        return f"locked ({observed.conf.lock}), left alone: run again when the lock is gone"
    # ha-manager(1): the HA stack leaves an ignored resource alone
    if observed.ha not in (None, "ignored"):
        return (
            f"managed by HA ({observed.ha}), left alone: its restart belongs to the cluster; "
            f"ha-manager set ct:{observed.ctid} --state ignored first"
        )
    return None


def waiting_keys(observed: ObservedContainer) -> str:
    """The keys that somebody left waiting for the next start."""
    return ", ".join(observed.conf.pending.keys()) if observed.conf.pending else ""
