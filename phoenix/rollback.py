"""What undoing a run changes on a node: the two sides of its journal, swapped.

Newest first. What is as the run left it goes back byte for byte; what is as it was before stays;
of a conf that somebody has changed since, only the keys that the run changed go back; anything
else that somebody changed is shown and left, unless force=true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from phoenix.apparmor import ObservedAppArmor, generated_profile
from phoenix.conf_plan import PROFILE
from phoenix.journal import NONE, Change, RunRecord, in_the_way
from phoenix.kept import Kept
from phoenix.observed import ObservedContainer, ObservedPct
from phoenix.options import Options
from phoenix.ours import Ours
from phoenix.plan import ContainerChange, NodePlan, PutBack, left_alone, waiting_keys
from phoenix.pve_conf import PveConf
from phoenix.take_back import take_back


@dataclass
class _Findings:
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def plan_rollback(
    run: str,
    options: Options,
    runs: Sequence[RunRecord],
    kept: Kept,
    pct: ObservedPct,
    apparmor: ObservedAppArmor,
) -> NodePlan:
    """Compare what a run left with what is there. Pure; problems are in the result."""
    record = next((one for one in runs if one.id == run), RunRecord(run))
    findings = _Findings()
    containers, files = [], []
    for change in reversed(record.changes):
        if not change.stands or not _asked_for(change, options):
            continue
        if change.thing.is_conf:
            containers.append(
                _container(change, record, options, runs, kept, pct, apparmor, findings)
            )
        elif change.thing.ctid is None:
            files.append(_file(change, run, options, runs, kept, findings))
    return NodePlan(
        pct.node,
        containers=tuple(one for one in containers if one),
        notes=tuple(findings.notes),
        problems=tuple(f"{pct.node}: {problem}" for problem in findings.problems),
        files=tuple(one for one in files if one),
    )


def _asked_for(change: Change, options: Options) -> bool:
    """With only=, what belongs to no container stays: others may need it."""
    return not options.only or change.thing.ctid in options.only


def _container(
    change: Change,
    record: RunRecord,
    options: Options,
    runs: Sequence[RunRecord],
    kept: Kept,
    pct: ObservedPct,
    apparmor: ObservedAppArmor,
    findings: _Findings,
) -> ContainerChange | None:
    ctid = change.thing.ctid or 0
    observed = pct.containers.get(ctid)
    if observed is None:
        where = pct.elsewhere.get(ctid)
        findings.notes.append(
            f"CT {ctid}: on {where} now, left alone" if where else f"CT {ctid}: gone, left alone"
        )
        return None
    now = observed.conf
    if now.sha256 == change.before:
        return None
    title = f"CT {ctid} {now.hostname or ''}".rstrip()
    before = kept.files.get(change.before)
    if before is None:
        findings.problems.append(f"{title}: the conf from before run {record.id} is not kept")
        return None
    later = in_the_way(runs, record.id, change.thing)
    if later and now.sha256 != change.after:
        findings.problems.append(
            f"{title}: run {later} changed it later: undo that first, with --data run={later}"
        )
        return None
    if reason := left_alone(observed):
        findings.problems.append(f"{title}: {reason}")
        return None
    staged = kept.staged.get(ctid, {})
    try:
        after, reasons = _old_conf(change, before, staged.get("conf"), now, options.force)
    except ValueError as error:
        findings.problems.append(f"{title}: {error}")
        return None
    if after == now:
        return None
    restart = observed.running and options.restart != "never"
    if restart and (waiting := waiting_keys(observed)) and not options.force:
        findings.problems.append(
            f"{title}: {waiting} waits in [pve:pending] and a restart would apply it: "
            "settle it with pct, or --data force=true"
        )
        return None
    return ContainerChange(
        ctid,
        now.hostname or "",
        now,
        after,
        _expected(after, observed, apparmor),
        restart,
        "docker" in staged,
        reasons,
        Ours.parse(kept.files.get(change.ours)),
    )


def _old_conf(
    change: Change, before: str, planned: str | None, now: PveConf, force: bool
) -> tuple[PveConf, tuple[str, ...]]:
    """The conf to go back to, and why. Raises ValueError where that cannot be told."""
    old = PveConf.parse(before)
    if now.sha256 == change.after or planned is None or now == PveConf.parse(planned):
        return old, ("the conf from before goes back",)
    conf, conflicts = take_back(old, PveConf.parse(planned), now, force)
    if conflicts:
        raise ValueError(
            f"somebody changed what the run had changed: {'; '.join(conflicts)}: "
            "put it right by hand, or --data force=true"
        )
    return conf, ("changed since: only what the run changed goes back",)


def _expected(conf: PveConf, observed: ObservedContainer, apparmor: ObservedAppArmor) -> str:
    """The host half of the label that the old conf brings, "" where none is enforced."""
    profile = (*conf.main.raw(PROFILE)[-1:], "generated")[0].partition("//&")[0]
    if profile == "generated":
        return generated_profile(observed.ctid)
    return profile if apparmor.loaded.get(profile) == "enforce" else ""


def _file(
    change: Change,
    run: str,
    options: Options,
    runs: Sequence[RunRecord],
    kept: Kept,
    findings: _Findings,
) -> PutBack | None:
    thing = change.thing
    now = kept.now.get(thing.path)
    found = digest(now)
    if found == change.before:
        return None
    later = in_the_way(runs, run, thing)
    if later and found != change.after:
        findings.problems.append(
            f"{thing}: run {later} changed it later: undo that first, with --data run={later}"
        )
        return None
    if found != change.after and not options.force:
        findings.problems.append(
            f"{thing}: somebody changed it since ({found[:12]}, the run left "
            f"{change.after[:12]}): put it right by hand, or --data force=true"
        )
        return None
    if change.before != NONE and change.before not in kept.files:
        findings.problems.append(f"{thing}: what was there before run {run} is not kept")
        return None
    return PutBack(thing.path, now, kept.files.get(change.before), found)


def digest(text: str | None) -> str:
    """SHA-256 of a file's text, `NONE` for no file."""
    if text is None:
        return NONE
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
