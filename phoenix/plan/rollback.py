"""What rolling back a run changes on a node: the two sides of its journal, swapped.

Newest first. What is as the run left it goes back byte for byte; what is as it was before stays;
of a conf that somebody has changed since, only the keys that the run changed go back; anything
else that somebody changed is shown and left, unless force=conflicts. A container that the run has
made is destroyed with force=created, and only if it is as the run left it: no force helps else.

A guest had a word in journals of format 1, and what it said could hold whole lines. So of these
nothing counts but what the node shows by itself: the files that the run staged for a container,
and for a file of the node what is there now. There no force helps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from phoenix.apparmor.observed import Label, ObservedAppArmor, generated_profile
from phoenix.docker.architecture import of_conf
from phoenix.docker.daemon_json import digest
from phoenix.docker.names import DAEMON_JSON, MANAGERS
from phoenix.docker.observed import ObservedDocker
from phoenix.plan.actions import ContainerChange, Destruction, FileRevert, NodePlan, Removal
from phoenix.plan.apart import staged_apart
from phoenix.plan.confinement import PROFILE_KEY
from phoenix.plan.container import ha_to_take, left_alone, waiting_keys
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.guest import GuestChange
from phoenix.plan.install import kept_by
from phoenix.plan.options import Force, Options
from phoenix.plan.reasons import Reason, Why
from phoenix.plan.revert import revert
from phoenix.pve.conf import PveConf, is_true
from phoenix.pve.health import HealthCheck
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.runs.files import RUNS, RunFileError, RunFiles
from phoenix.runs.record import NONE, Change, RunRecord, Thing, in_the_way
from phoenix.text.printable import printable

#: A Docker that a run installed and that does not go.
_STAYS = Removal(0, (), "")


@dataclass(frozen=True)
class Node:
    """What was seen of a node: its runs, what the one to roll back kept, and how everything is now.

    `came`: the containers whose part of the runs another node has written, with that; `stays`: why
    that of one which is on another node now stays here (`phoenix.plan.gathered`).
    """

    runs: Sequence[RunRecord]
    run_files: RunFiles
    pct: ObservedPct
    apparmor: ObservedAppArmor
    dockers: Mapping[int, ObservedDocker] = field(default_factory=dict)
    came: Mapping[int, str] = field(default_factory=dict)
    stays: Mapping[int, str] = field(default_factory=dict)


def plan_rollback(run: str, options: Options, node: Node) -> NodePlan:
    """Compare what a run left with what is there. Pure; problems are in the result."""
    record = next((one for one in node.runs if one.id == run), RunRecord(run))
    findings: list[Finding] = []
    # with only=, what belongs to no container stays: others may need it
    chosen = [
        change
        for change in reversed(record.changes)
        if change.stands and (not options.only or change.thing.ctid in options.only)
    ]
    findings += [
        Finding(
            Code.MOVED, Severity.NOTE, f"changed on {name}, it goes back by what is kept there", one
        )
        for one, name in node.came.items()
        if any(change.thing.ctid == one for change in chosen)
    ]
    made = _made(record)
    goes = [_destruction(one, record, options, node, findings) for one in chosen if one in made]
    # what the run did in a container that it has made goes with that
    theirs = {one.thing.ctid for one in made}
    wanted = [one for one in chosen if one.thing.ctid is None or one.thing.ctid not in theirs]
    ctids = dict.fromkeys(one.thing.ctid for one in wanted if one.thing.ctid and one.thing.path)
    installed = {one.thing.ctid: one for one in wanted if _is_installed(one, record, node)}
    dockers = {
        ctid: _docker(one, record, options, node, findings) for ctid, one in installed.items()
    }
    # where its Docker stays all stays: without the new conf it might not start
    stay = {ctid for ctid, one in dockers.items() if one is _STAYS}
    containers = [
        _container(ctid, record, options, node, findings, ctid in installed)
        for ctid in ctids
        if ctid not in stay
    ]
    files = [_file(one, record, options, node, findings) for one in wanted if not one.thing.ctid]
    removals = [one for one in dockers.values() if one is not _STAYS]
    removals += [
        _removal(one, node, findings)
        for one in wanted
        if one.packages and one.thing.ctid not in installed
    ]
    return NodePlan(
        node.pct.node,
        containers=tuple(one for one in containers if one),
        findings=tuple(findings),
        files=tuple(one for one in files if one),
        removals=tuple(one for one in removals if one),
        destructions=tuple(one for one in goes if one),
    )


def _is_installed(change: Change, record: RunRecord, node: Node) -> bool:
    """Whether this is the daemon.json of a Docker that the run installed, in a guest that answers.

    Any other change of that file names a driver before it, but for those of format 1.
    """
    ctid = change.thing.ctid or 0
    observed, docker = node.pct.containers.get(ctid), node.dockers.get(ctid)
    is_its = change.thing.path == DAEMON_JSON and not change.driver_before and record.format != 1
    answers = docker is not None and docker.state in ("none", "ok", "dead")
    return is_its and answers and observed is not None and observed.running


def _docker(
    change: Change, record: RunRecord, options: Options, node: Node, findings: list[Finding]
) -> Removal | None:
    """A Docker that the run installed, which goes whole; None where it has gone.

    `_STAYS` where it holds anything, or cannot go for another reason.
    """
    ctid = change.thing.ctid or 0
    observed, docker = node.pct.containers[ctid], node.dockers[ctid]
    name = printable(observed.conf.hostname or "")
    if held := kept_by(docker):
        weight = Severity.ERROR if ctid in options.only else Severity.NOTE
        text = f"its Docker holds {held}: it stays, and with it what the run changed here"
        way = "take it away there (docker system prune -af --volumes), then roll back once more"
        fix = f"if nothing of that is needed: {way}"
        findings.append(Finding(Code.PACKAGES_STAY, weight, text, ctid, name, fix))
        return _STAYS
    try:
        guest = _old_daemon(change, record, observed, Force.CONFLICTS in options.force, node)
    except ValueError as error:
        findings.append(Finding(Code.CONFLICT, Severity.ERROR, str(error), ctid, name))
        return _STAYS
    brought = next((one for one in record.changes if one.thing == Thing("", ctid)), None)
    names = brought.packages if brought and brought.stands else ()
    names = tuple(one for one in names if _is_there(one, docker))
    if guest is None and not names:
        return None
    now = docker.file.text if docker.file else None
    return Removal(ctid, names, docker.manager, guest or GuestChange(now, now))


def _is_there(package: str, docker: ObservedDocker) -> bool:
    """Whether a package may be installed there: of those that are no part of Docker nobody knows.

    Where none of Docker's is, what came with it has gone with it.
    """
    state = docker.packages.get(package.partition(":")[0])
    return state == "ii" or (state is None and "ii" in docker.packages.values())


def _made(record: RunRecord) -> tuple[Change, ...]:
    """The containers that a run has made, or begun to; in format 1 no run of ours could."""
    return tuple(one for one in record.changes if one.creates and record.format != 1)


def _destruction(
    change: Change, record: RunRecord, options: Options, node: Node, findings: list[Finding]
) -> Destruction | None:
    ctid = change.thing.ctid or 0
    observed = node.pct.containers.get(ctid)
    if observed is None:
        findings.append(_gone(ctid, node))
        return None
    # what was cut short is recovered first, which takes it away
    if change.outcome == "open":
        return None
    name = printable(observed.conf.hostname or "")
    if problem := _stays(change, record, options, observed, node):
        code, message, fix = problem
        findings.append(Finding(code, Severity.ERROR, message, ctid, name, fix))
        return None
    places = _places(node.run_files.staged.get(ctid, {}).get("create.json"))
    return Destruction(ctid, name, observed.conf, observed.running, places)


def _stays(
    change: Change, record: RunRecord, options: Options, observed: ObservedContainer, node: Node
) -> tuple[Code, str, str] | None:
    """Why a container that the run has made is not destroyed, and what to do; or None."""
    ctid, found = observed.ctid, observed.conf.sha256
    by_hand = f"pct destroy {ctid} if it is not needed any more"
    if later := _made_or_destroyed(change.thing, record.id, node):
        text = f"it is not the one that run {record.id} made: run {later} made or destroyed one of"
        return Code.CONFLICT, f"{text} this id since", f"rollback with run={later}, or {by_hand}"
    if found != change.after:
        if problem := _in_the_way(change, record.id, found, node):
            return Code.CONFLICT, problem, ""
        text = f"its conf is not as run {record.id} left it ({found[:12]}, not {change.after[:12]})"
        return Code.CONFLICT, f"{text}: it is not destroyed, whatever is forced", by_hand
    if reason := left_alone(observed, options):
        return reason
    if observed.ha is not None:
        return Code.HA, f"managed by HA ({observed.ha})", f"ha-manager remove ct:{ctid}"
    if is_true(observed.conf.main["protection"]):
        return Code.CONFLICT, "protected (protection: 1)", f"pct set {ctid} --protection 0"
    if Force.CREATED not in options.force:
        text = f"run {record.id} made it, and a rollback destroys it with all that is in it"
        return Code.CREATED, text, f"if that is meant: --data force={Force.CREATED}"
    return None


def _made_or_destroyed(thing: Thing, run: str, node: Node) -> str | None:
    """The id of the last run after `run` that did so with the container of that conf, or None.

    Made twice from one fleet file it may have the same conf, byte for byte.
    """
    later = (
        record.id
        for record in node.runs
        for one in record.changes
        if record.id > run
        and (one.thing, one.outcome) == (thing, "done")
        and NONE in (one.before, one.after)
    )
    return max(later, default=None)


def _places(request: str | None) -> tuple[str, ...]:
    """The datasets and folders that a run may have made for a container, which stay."""
    try:
        asked = json.loads(request or "{}")
        names = [one["name"] for one in asked.get("datasets", [])]
        names += [one["path"] for one in asked.get("folders", [])]
        return tuple(printable(str(one)) for one in names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # no more than a note hangs on it
        return ()


def _gone(ctid: int, node: Node) -> Finding:
    where = node.pct.elsewhere.get(ctid)
    if where is None:
        return Finding(Code.GONE, Severity.NOTE, "gone, left alone", ctid)
    fix = node.stays.get(ctid) or "undo the run on both nodes at once, PHOENIX_NODES names them"
    return Finding(Code.GONE, Severity.WARNING, f"on {where} now, left alone", ctid, fix=fix)


def _container(
    ctid: int,
    record: RunRecord,
    options: Options,
    node: Node,
    findings: list[Finding],
    without_docker: bool,
) -> ContainerChange | None:
    """`without_docker`: what the run did to its Docker is rolled back elsewhere."""
    observed = node.pct.containers.get(ctid)
    if observed is None:
        findings.append(_gone(ctid, node))
        return None
    now = observed.conf
    name = printable(now.hostname or "")

    def say(code: Code, severity: Severity, message: str, fix: str = "") -> None:
        findings.append(Finding(code, severity, message, ctid, name, fix))

    conf, daemon = (
        next((one for one in record.changes if one.thing == thing), Change(thing))
        for thing in (Thing(f"/etc/pve/lxc/{ctid}.conf", ctid), Thing(DAEMON_JSON, ctid))
    )
    if without_docker:
        daemon = Change(daemon.thing)
    staged = node.run_files.staged.get(ctid, {})
    if daemon.stands and observed.running and (silent := _silent(node.dockers.get(ctid))):
        # its own fault is no reason to keep the others from going back
        weight = Severity.ERROR if ctid in options.only else Severity.WARNING
        fix = "roll the run back once more when that is mended"
        say(Code.SILENT, weight, f"left alone: {silent}", fix)
        return None
    forced = Force.CONFLICTS in options.force
    try:
        _check_staged(conf, record, staged.get("before"), staged.get("conf"))
        _check_staged(daemon, record, staged.get("daemon-before"), staged.get("daemon.json"))
        after, why = _old_conf(conf, record.id, staged.get("conf"), now, forced, node)
        guest = _old_daemon(daemon, record, observed, forced, node)
        managed = _old_managed(conf, record.id, node)
    except ValueError as error:
        say(Code.CONFLICT, Severity.ERROR, str(error))
        return None
    if daemon.stands and not observed.running:
        text = f"stopped: its {DAEMON_JSON} stays"
        say(Code.DOCKER_UNSEEN, Severity.NOTE, text, "start it and roll the run back once more")
    if after == now and not guest:
        return None
    if reason := left_alone(observed, options):
        code, message, fix = reason
        say(code, Severity.ERROR, message, fix)
        return None
    restart = observed.running and options.restart != "never" and after != now
    if restart and (waiting := waiting_keys(observed)) and Force.PENDING not in options.force:
        text = f"{waiting} waits in [pve:pending] and a restart would apply it"
        fix = f"apply or revert it with pct, or --data force={Force.PENDING}"
        say(Code.PENDING, Severity.ERROR, text, fix)
        return None
    if guest:
        how = "goes" if guest.after is None else "goes back"
        why = (*why, Reason(Why.DAEMON_JSON, f"{DAEMON_JSON} {how}"))
    return ContainerChange(
        ctid=ctid,
        name=name,
        before=now,
        after=after,
        label=_expected(after, observed, node.apparmor),
        restart=restart,
        docker="docker" in staged,
        reasons=why,
        managed=managed,
        guest=guest,
        driver=daemon.driver_before if guest else "",
        driver_before=daemon.driver if guest else "",
        accept=options.accept,
        settle=options.settle,
        health=_health(staged.get("health")),
        # runs of earlier versions note none
        architecture=staged.get("docker") or of_conf(now.main["arch"]),
        ha=ha_to_take(observed),
        apart=staged_apart(staged),
    )


def _health(staged: str | None) -> HealthCheck | None:
    """Its owner's check as the run had it: what passes now passes after the rollback, too."""
    if staged is None:
        return None
    try:
        return HealthCheck.parse(staged)
    except ValueError:
        # of another version
        return None


def _check_staged(
    change: Change, record: RunRecord, before: str | None, planned: str | None
) -> None:
    """Hold a change of a journal of format 1 against what its run staged. Raises ValueError.

    `before`: the digest that this was planned on. A run plans a container anew only where its
    commit changed nothing, so there is but one change that stands.
    """
    if record.format != 1 or not change.stands:
        return
    if (before or "").strip() != change.before or digest(planned) != change.planned:
        raise ValueError(
            f"the journal of run {record.id} is of an older version, and what it says of "
            f"{change.thing.path} is not what lies in {RUNS}/{record.id}/{change.thing.ctid}: "
            "refused, a guest may have written it; put it right by hand"
        )


def _in_the_way(change: Change, run: str, found: str, node: Node) -> str | None:
    """Why an earlier run cannot be rolled back yet, or None."""
    later = in_the_way(node.runs, run, change.thing)
    if later is None or found == change.after:
        return None
    return f"run {later} changed it later: roll that back first, with --data run={later}"


def _old_conf(
    change: Change, run: str, planned: str | None, now: PveConf, force: bool, node: Node
) -> tuple[PveConf, tuple[Reason, ...]]:
    """The conf to go back to, and why. Raises ValueError where that cannot be told."""
    if not change.stands or now.sha256 == change.before:
        return now, ()
    try:
        text = node.run_files.of_node(change.before)
    except RunFileError as error:
        raise ValueError(f"the conf from before run {run} {error}") from None
    if text is None:
        raise ValueError(f"there was no conf before run {run}")
    if problem := _in_the_way(change, run, now.sha256, node):
        raise ValueError(problem)
    old = PveConf.parse(text)
    if now.sha256 == change.after or (planned is not None and now == PveConf.parse(planned)):
        return old, (Reason(Why.CONF_BACK, "the conf from before goes back"),)
    if planned is None:
        raise ValueError(
            f"somebody changed it since, and what run {run} staged for it is gone: put it right "
            "by hand"
        )
    conf, conflicts = revert(old, PveConf.parse(planned), now, force)
    if conflicts:
        raise ValueError(
            f"somebody changed what the run had changed: {'; '.join(conflicts)}: "
            f"put it right by hand, or --data force={Force.CONFLICTS}"
        )
    why = Reason(Why.CHANGED_SINCE, "changed since: only what the run changed goes back")
    return conf, (why,)


def _old_managed(change: Change, run: str, node: Node) -> Managed:
    """What of the conf was ours before. Raises ValueError where that cannot be told."""
    try:
        return Managed.parse(node.run_files.of_node(change.managed))
    except RunFileError as error:
        raise ValueError(f"the note of what was ours before run {run} {error}") from None


def _silent(docker: ObservedDocker | None) -> str:
    """Why a guest's daemon.json cannot be read, "" where it can."""
    if docker is not None and docker.state in ("ok", "dead"):
        return ""
    return f"its {DAEMON_JSON} cannot be read: Docker is {docker or 'not asked'}"


def _old_daemon(
    change: Change, record: RunRecord, observed: ObservedContainer, force: bool, node: Node
) -> GuestChange | None:
    """daemon.json as it goes back, None for as it is. Raises ValueError."""
    docker = node.dockers.get(observed.ctid)
    if not change.stands or not observed.running or docker is None:
        return None
    now = docker.file.text if docker.file else None
    found = digest(now)
    if found == change.before:
        return None
    if problem := _in_the_way(change, record.id, found, node):
        raise ValueError(f"{DAEMON_JSON}: {problem}")
    if found != change.after and not force:
        raise ValueError(
            f"{DAEMON_JSON}: somebody changed it since: put it right by hand, or --data "
            f"force={Force.CONFLICTS}"
        )
    try:
        # never one of the node's own, nor of another guest: what a guest had goes to that guest
        before = node.run_files.of_guest(observed.ctid, change.before, record.format)
    except RunFileError as error:
        raise ValueError(f"{DAEMON_JSON}: what was there before run {record.id} {error}") from None
    return GuestChange(now, before)


def _removal(change: Change, node: Node, findings: list[Finding]) -> Removal | None:
    """The packages that a run brought and that are there still."""
    ctid = change.thing.ctid or 0
    observed, docker = node.pct.containers.get(ctid), node.dockers.get(ctid)
    if observed is None:
        return None
    if not observed.running or docker is None or docker.manager not in MANAGERS:
        names = ", ".join(change.packages)
        text = f"cannot be asked now, keeps its packages: {names}"
        findings.append(Finding(Code.PACKAGES_STAY, Severity.NOTE, text, ctid))
        return None
    states = {docker.packages.get(name.partition(":")[0]) for name in change.packages}
    # one that was purged is not in the list any more
    if docker.packages and "ii" not in states:
        return None
    return Removal(ctid, change.packages, docker.manager)


def _expected(
    conf: PveConf, observed: ObservedContainer, apparmor: ObservedAppArmor
) -> Label | None:
    """What PID 1 shall carry under the old conf, None where nothing is enforced."""
    named = Label.parse((*conf.main.raw(PROFILE_KEY)[-1:], "generated")[0])
    if named.profile == "generated":
        return Label(generated_profile(observed.ctid), "enforce")
    mode = apparmor.loaded.get(named.profile)
    return replace(named, mode=mode) if mode == "enforce" else None


def _file(
    change: Change, record: RunRecord, options: Options, node: Node, findings: list[Finding]
) -> FileRevert | None:
    thing, run = change.thing, record.id
    now = node.run_files.now.get(thing.path)
    found = digest(now)
    if found == change.before:
        # nothing but what a cut left beside it
        return (
            FileRevert(thing.path, now, now, found) if thing.path in node.run_files.left else None
        )
    problem = _in_the_way(change, run, found, node)
    forced = Force.CONFLICTS in options.force
    # a journal in which a guest had a word is no reason to write over anything else
    old_format = record.format == 1
    if problem is None and found != change.after and (old_format or not forced):
        problem = (
            f"somebody changed it since ({found[:12]}, the run left {change.after[:12]}): "
            f"put it right by hand{'' if old_format else f', or --data force={Force.CONFLICTS}'}"
        )
    before = None
    if problem is None:
        try:
            before = node.run_files.of_node(change.before)
        except RunFileError as error:
            problem = f"what was there before run {run} {error}"
    if problem:
        findings.append(Finding(Code.FILE_CHANGED, Severity.ERROR, f"{thing}: {problem}"))
        return None
    return FileRevert(thing.path, now, before, found)
