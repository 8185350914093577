"""What `create` makes: the containers that the fleet file describes and no node has.

Each is predicted as Proxmox is going to make it, and then planned as one that is there already: so
its profile, features, raw lines, mounts and devices come from the one planner, and harden finds
nothing to do for it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from phoenix.docker.names import PROBES
from phoenix.fleet.model import Container, Fleet
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.creation import Creation
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.install import wanted_install
from phoenix.plan.new_conf import Draft
from phoenix.plan.options import Force, Options
from phoenix.plan.predict import Prediction, missing, planned_as_there
from phoenix.pve.observed import ObservedPct
from phoenix.pve.privileged import WAY_OUT

#: What a plan says of one that is stopped, and means nothing of one that is not there yet.
_OF_STOPPED = frozenset({Code.DOCKER_UNSEEN})


def share_out(
    fleet: Fleet, options: Options, nodes: Sequence[ObservedPct]
) -> tuple[Mapping[str, tuple[int, ...]], list[str]]:
    """Which node makes which containers, and why some have none.

    A clone is made where its source is; what is made from a template on the only node there is.
    """
    new = {container.ctid: container for container in missing(fleet, options, nodes)}
    shares: dict[str, list[int]] = {node.node: [] for node in nodes}
    problems = []
    for ctid, container in new.items():
        if not container.is_described:
            # any node can say that
            shares[nodes[0].node].append(ctid)
        elif home := _home(container, new, nodes):
            shares[home].append(ctid)
        else:
            problems.append(
                f"CT {ctid}: {len(nodes)} nodes could make it: say which with pyinfra's "
                "--limit NODE"
            )
    return {node: tuple(ctids) for node, ctids in shares.items()}, problems


def creation_plan(prediction: Prediction, templates: Mapping[str, str]) -> NodePlan:
    """What is made on a node, in its order, with the profiles that it needs. Pure, raises nothing.

    It is harden's plan, with the containers made instead of changed; `templates`: as for
    `plan_node`.
    """
    plan = planned_as_there(prediction, templates)
    changes = {change.ctid: change for change in plan.containers}
    findings = [*prediction.findings]
    findings += (_as_new(one) for one in plan.findings if _is_told(one, prediction))
    stopped = {one.ctid for one in findings if one.severity == Severity.ERROR}
    creations = []
    for draft in prediction.drafts:
        change = changes.get(draft.ctid)
        if change is None or draft.ctid in stopped:
            continue
        if unproven := _not_proven(change, prediction.options):
            findings.append(unproven)
            continue
        creations.append(_creation(draft, change, prediction))
    return replace(
        plan, containers=(), creations=tuple(creations), findings=tuple(dict.fromkeys(findings))
    )


def _as_new(finding: Finding) -> Finding:
    """What is to be done about it while it is not there yet."""
    text = finding.message.replace(WAY_OUT, 'take "unprivileged": false out')
    return replace(finding, message=text)


def _is_told(finding: Finding, prediction: Prediction) -> bool:
    if finding.code in _OF_STOPPED:
        return False
    if finding.code != Code.CONF or not finding.message.startswith("gpu_assignment: "):
        return True
    # said once, in other words
    no_gpu = {one.ctid for one in prediction.findings if one.code == Code.NO_GPU}
    return finding.ctid not in no_gpu


def _home(
    container: Container, new: Mapping[int, Container], nodes: Sequence[ObservedPct]
) -> str | None:
    """The node that makes a container, None where more than one could."""
    seen = {container.ctid}
    while (origin := container.making.clone_from) is not None and origin not in seen:
        for node in nodes:
            if origin in node.containers:
                return node.node
        seen.add(origin)
        if origin not in new:
            break
        container = new[origin]
    return nodes[0].node if len(nodes) == 1 else None


def _not_proven(change: ContainerChange, options: Options) -> Finding | None:
    """That a container of ours cannot prove its Docker on its architecture, or None."""
    if not change.docker or change.architecture in PROBES or Force.NO_PROBE in options.force:
        return None
    return Finding(
        Code.ARCHITECTURE,
        Severity.ERROR,
        f"its Docker would run on {change.architecture}, and a container of ours can prove it on "
        f"{', '.join(PROBES)} only",
        change.ctid,
        change.name,
        f"to go on without that proof: --data force={Force.NO_PROBE}",
    )


def _creation(draft: Draft, change: ContainerChange, prediction: Prediction) -> Creation:
    making, storage = draft.container.making, prediction.storage[draft.ctid]
    planned = change.after
    before = draft.conf
    for key in planned.main:
        # what pct is told of features and devices is there before the raw lines are
        before = before.set_key(key, planned.main[key] or "")
    for key in before.main:
        before = before if key in planned.main else before.drop_key(key)
    sources = {one.making.clone_from for one in prediction.fleet.containers.values()}
    is_source = bool(making.snapshot) or draft.ctid in sources
    return Creation(
        change=replace(change, before=before, driver=_driver(draft), reasons=()),
        pct=draft.pct(planned),
        datasets=storage.datasets,
        folders=storage.folders,
        start=making.start_at_boot is True or not is_source,
        snapshot=making.snapshot or "",
        install=wanted_install(draft.container),
    )


def _driver(draft: Draft) -> str:
    """What its Docker shall say of its storage driver, "" where that is not known before."""
    install = wanted_install(draft.container)
    brings_its_own = draft.source is not None and draft.source.docker
    if install is None or brings_its_own:
        return ""
    return "" if install.driver == "auto" else install.driver
