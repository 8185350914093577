"""The heart: what must change on a node, why, and what restarts.

`plan_node` compares the fleet file with what the facts saw. harden applies its result, `--dry`
prints it, audit renders it: drift is a plan that is not empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from phoenix.apparmor import (
    MARKER,
    Label,
    ObservedAppArmor,
    UnknownProfileError,
    generated_profile,
    render_profile,
)
from phoenix.config import Container, Fleet
from phoenix.features import Features, merge
from phoenix.observed import ObservedContainer, ObservedPct
from phoenix.options import Options
from phoenix.pve_conf import PveConf
from phoenix.raw_keys import REPEATED_KEYS


@dataclass(frozen=True)
class ProfileChange:
    """A profile to install and load: its text now (None: not there) and as it shall be."""

    name: str
    before: str | None
    after: str
    reason: str


@dataclass(frozen=True)
class ContainerChange:
    """One container to change.

    `before`, `after`: its conf; `profile`: the host half of the label that PID 1 shall carry in
    enforce mode, "" where none is asked for; `restart`: restart it to make the change real;
    `docker`: prove its Docker afterwards; `reasons`: one line each.
    """

    ctid: int
    name: str
    before: PveConf
    after: PveConf
    profile: str
    restart: bool
    docker: bool
    reasons: tuple[str, ...]

    @property
    def conf_changes(self) -> bool:
        """Whether the file itself changes (else only a restart is due)."""
        return self.before != self.after


@dataclass(frozen=True)
class NodePlan:
    """Everything that a run does on one node, in its order; `notes` are said and change nothing.

    `problems` stop the run before anything changes.
    """

    node: str
    profiles: tuple[ProfileChange, ...] = ()
    containers: tuple[ContainerChange, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return not (self.profiles or self.containers)


@dataclass
class _Findings:
    """What planning one container collects on its way."""

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_selection(fleet: Fleet, options: Options, nodes: Iterable[ObservedPct]) -> list[str]:
    """The problems of `only=` over all nodes: a CTID that the file or every node lacks."""
    present = {ctid for node in nodes for ctid in node.containers}
    problems = []
    for ctid in options.only:
        if ctid not in fleet.containers:
            problems.append(f"only={ctid}: {options.fleet} has no lxc_configs.{ctid}: add it there")
        elif ctid not in present:
            problems.append(f"only={ctid}: no node of this inventory has a container {ctid}")
    return problems


def absent_note(fleet: Fleet, options: Options, nodes: Iterable[ObservedPct]) -> str | None:
    """One line that names the containers of the file that no node has, or None."""
    present = {ctid for node in nodes for ctid in node.containers}
    absent = [ctid for ctid in fleet.containers if ctid not in present]
    if not absent or options.only:
        return None
    return f"in {options.fleet} but on no node: {', '.join(map(str, absent))}"


def selected(fleet: Fleet, options: Options, node: ObservedPct) -> list[Container]:
    """The containers of the file that are on this node and asked for, in the file's order."""
    return [
        container
        for ctid, container in fleet.containers.items()
        if ctid in node.containers and (not options.only or ctid in options.only)
    ]


def wanted_profile(container: Container, options: Options) -> str:
    """The profile a container shall have: a name, `generated` or `unconfined`."""
    return options.profile if options.profile and container.docker else container.profile


def host_profile(container: Container, options: Options) -> str:
    """The host half of the label that goes with the wanted profile, "" where none is asked for."""
    wanted = wanted_profile(container, options)
    return {"generated": generated_profile(container.ctid), "unconfined": ""}.get(wanted, wanted)


def profile_files(fleet: Fleet, options: Options, node: ObservedPct) -> list[str]:
    """The profiles that the selected containers name: the files to look at on the node."""
    names = (wanted_profile(container, options) for container in selected(fleet, options, node))
    return sorted(set(names) - {"generated", "unconfined"})


def plan_node(
    fleet: Fleet,
    options: Options,
    pct: ObservedPct,
    apparmor: ObservedAppArmor,
    templates: Mapping[str, str],
) -> NodePlan:
    """Compare the fleet file with one node. Pure; problems are in the result, none is raised."""
    if apparmor.problem:
        return NodePlan(pct.node, problems=(f"{pct.node}: {apparmor.problem}",))
    findings = _Findings(problems=[f"{pct.node}: {problem}" for problem in pct.problems])
    profiles = [
        _plan_profile(name, pct.node, options, apparmor, templates, findings)
        for name in profile_files(fleet, options, pct)
    ]
    containers = [
        _plan_container(container, options, pct, findings)
        for container in selected(fleet, options, pct)
    ]
    return NodePlan(
        pct.node,
        tuple(change for change in profiles if change),
        tuple(change for change in containers if change),
        tuple(findings.notes),
        tuple(findings.problems),
    )


def _plan_profile(
    name: str,
    node: str,
    options: Options,
    apparmor: ObservedAppArmor,
    templates: Mapping[str, str],
    findings: _Findings,
) -> ProfileChange | None:
    try:
        after = render_profile(name, templates, apparmor)
    except UnknownProfileError as error:
        findings.problems.append(f"{node}: apparmor_profile {name}: {error}")
        return None
    before = apparmor.files.get(name)
    if before is not None and not before.startswith(MARKER) and not options.force:
        findings.problems.append(
            f"{node}: /etc/apparmor.d/{name} is there and not ours: move it away, "
            "or replace it with --data force=true"
        )
        return None
    mode = apparmor.loaded.get(name)
    if before != after:
        reason = "new" if before is None else "changed"
    elif mode is None:
        reason = "installed but not loaded"
    elif mode != "enforce":
        reason = f"loaded in {mode} mode"
    else:
        return None
    return ProfileChange(name, before, after, reason)


def _plan_container(
    container: Container, options: Options, pct: ObservedPct, findings: _Findings
) -> ContainerChange | None:
    observed = pct.containers[container.ctid]
    title = f"CT {container.ctid} {_name(container, observed)}".rstrip()
    if reason := _left_alone(observed):
        findings.notes.append(f"{title}: {reason}")
        return None
    mine = _Findings()
    try:
        after = _edit(container, options, observed, mine)
    except ValueError as error:
        findings.problems.append(f"{pct.node}: {title}: {error}")
        return None
    profile = host_profile(container, options)
    changes = after != observed.conf
    due = _restart_due(profile, observed, after, mine)
    findings.notes += [f"{title}: {note}" for note in mine.notes]
    if not changes and not due:
        return None
    restart = observed.running
    if restart and options.restart == "never":
        findings.notes.append(f"{title}: a restart is due (restart=never)")
        restart = False
        if not changes:
            return None
    if restart and (waiting := _pending(observed)) and not options.force:
        findings.notes.append(
            f"{title}: left alone: {waiting} waits in [pve:pending] and a restart would apply it: "
            f"settle it with pct, or go on with --data force=true"
        )
        return None
    return ContainerChange(
        container.ctid,
        _name(container, observed),
        observed.conf,
        after,
        profile,
        restart,
        container.docker,
        tuple(mine.reasons),
    )


def _name(container: Container, observed: ObservedContainer) -> str:
    return observed.conf.hostname or container.name or ""


def _left_alone(observed: ObservedContainer) -> str | None:
    """Why harden does not touch a container at all, or None."""
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


def _pending(observed: ObservedContainer) -> str:
    """The keys that somebody left waiting for the next start."""
    return ", ".join(observed.conf.pending.keys()) if observed.conf.pending else ""


def _edit(
    container: Container, options: Options, observed: ObservedContainer, findings: _Findings
) -> PveConf:
    """The conf as it shall be: one lossless edit of features and raw keys."""
    conf = observed.conf
    features = merge(conf.main["features"], container.features)
    if features.value != (conf.main["features"] or ""):
        conf = conf.set_key("features", features.value)
        news = [f"{key}={Features.parse(features.value)[key]}" for key in features.added]
        news += [f"{key}={container.features[key]}" for key in features.changed]
        findings.reasons.append(f"features: {', '.join(news)}")
    for raw in container.raw:
        if raw.key.startswith(REPEATED_KEYS):
            conf = conf.add_raw(raw.key, raw.value)
        else:
            conf = conf.set_raw(raw.key, raw.value)
        if conf != observed.conf and raw.value not in observed.conf.main.raw(raw.key):
            findings.reasons.append(f"{raw.key}: {raw.value}")
    return _confine(conf, container, options, findings)


def _confine(conf: PveConf, container: Container, options: Options, findings: _Findings) -> PveConf:
    """Name the wanted profile in the conf.

    pve-container LXC.pm make_apparmor_config: without `lxc.apparmor.profile` the profile is
    generated, with it everything that the generated one would grant is gone.
    """
    wanted = wanted_profile(container, options)
    current = conf.main.raw("lxc.apparmor.profile")
    if wanted == "unconfined":
        if current != ("unconfined",):
            # never take confinement away because an old file says so
            findings.notes.append(
                f"the fleet file says unconfined, the conf {(*current, 'generated')[0]}: kept"
            )
        return conf
    if wanted == "generated":
        if current:
            findings.reasons.append(f"profile: {current[-1]} becomes generated")
        return conf.drop_raw("lxc.apparmor.profile")
    if current != (wanted,):
        findings.reasons.append(f"profile: {(*current, 'generated')[0]} becomes {wanted}")
    conf = conf.set_raw("lxc.apparmor.profile", wanted)
    if container.allow_nesting:
        conf = conf.set_raw("lxc.apparmor.allow_nesting", "1")
    return conf


def _restart_due(
    profile: str, observed: ObservedContainer, after: PveConf, findings: _Findings
) -> bool:
    """Whether the running container is not what its conf says."""
    if not observed.running or after != observed.conf:
        return False
    label = Label.parse(observed.label or "")
    if profile and label.profile != profile:
        findings.reasons.append(f"restart due: PID 1 runs as {observed.label}, not {profile}")
    # a named profile hides nesting and mount in the running container: None, not to be judged
    for name, value in Features.parse(after.main["features"]).items():
        live = observed.live.feature(name) if observed.live else None
        if live in ("0", "1") and live != value:
            findings.reasons.append(f"restart due: {name}={live} in the running container")
    return bool(findings.reasons)
