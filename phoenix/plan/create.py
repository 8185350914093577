"""What `create` makes: the containers that the fleet file describes and no node has.

Each is predicted as Proxmox is going to make it, and then planned as one that is there already: so
its profile, features, raw lines, mounts and devices come from the one planner, and harden finds
nothing to do for it afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from phoenix.docker.install import Install
from phoenix.docker.names import PROBES
from phoenix.fleet.model import Container, Fleet
from phoenix.fleet.order import circles, in_order
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.create_checks import NO_OTHERS, Checks
from phoenix.plan.creation import Creation, Dataset, Folder
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.new_conf import Draft, Source, clone_of, disk_size, from_source, from_template
from phoenix.plan.node import plan_node
from phoenix.plan.options import Force, Options
from phoenix.pve.id_maps import owner_on_node
from phoenix.pve.observed import ObservedContainer, ObservedPct

#: A dataset that is made has no blank in its name, although ZFS would take one.
_NEW_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*(/[A-Za-z0-9_.:-]+)*", re.ASCII)

#: What a plan says of one that is stopped, and means nothing of one that is not there yet.
_OF_STOPPED = frozenset({Code.DOCKER_UNSEEN})


@dataclass(frozen=True)
class Prediction:
    """The node with what is to be made, as if it were there.

    `fleet`: the file as it is meant for them; `options`: those and no others; `drafts`: in the
    order in which they are made; `findings`: what stands against it, and what to know.
    """

    fleet: Fleet
    options: Options
    facts: NodeFacts
    drafts: tuple[Draft, ...] = ()
    datasets: Mapping[int, tuple[Dataset, ...]] = field(default_factory=dict)
    folders: Mapping[int, tuple[Folder, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def missing(fleet: Fleet, options: Options, nodes: Iterable[ObservedPct]) -> list[Container]:
    """The containers of the file that are asked for and that no node and no cluster has."""
    there = {ctid for node in nodes for ctid in (*node.containers, *node.elsewhere)}
    return [
        container
        for ctid, container in fleet.containers.items()
        if ctid not in there and options.takes(container)
    ]


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


def plan_create(
    *,
    fleet: Fleet,
    options: Options,
    facts: NodeFacts,
    templates: Mapping[str, str],
    here: Collection[int] | None = None,
    inventory: Mapping[str, Collection[int]] = NO_OTHERS,
) -> NodePlan:
    """What is made on a node, in its order, with the profiles that it needs. Pure, raises nothing.

    `templates`: as for `plan_node`; `here`: what this node is to make (`share_out`), None for all
    that is missing; `inventory`: all nodes of the run, each with what it has then.
    """
    prediction = predict(fleet, options, facts, templates, here, inventory)
    return creation_plan(prediction, templates)


def predict(
    fleet: Fleet,
    options: Options,
    facts: NodeFacts,
    templates: Mapping[str, str],
    here: Collection[int] | None = None,
    inventory: Mapping[str, Collection[int]] = NO_OTHERS,
) -> Prediction:
    """The node as it is going to be, for `creation_plan` and for what else asks about it."""
    new = [
        container
        for container in missing(fleet, options, [facts.containers])
        if here is None or container.ctid in here
    ]
    checks = Checks(fleet, options, facts, [one.ctid for one in new], inventory)
    return _Predictor(fleet, options, facts, templates).predict(new, checks)


def planned_as_there(prediction: Prediction, templates: Mapping[str, str]) -> NodePlan:
    """The plan of harden for the containers as they are predicted; nothing where there are none."""
    if not prediction.drafts:
        return NodePlan(prediction.facts.containers.node)
    return plan_node(
        fleet=prediction.fleet,
        options=prediction.options,
        facts=prediction.facts,
        templates=templates,
    )


def creation_plan(prediction: Prediction, templates: Mapping[str, str]) -> NodePlan:
    """The plan of create: harden's, with the containers made instead of changed."""
    plan = planned_as_there(prediction, templates)
    changes = {change.ctid: change for change in plan.containers}
    findings = [*prediction.findings]
    findings += (one for one in plan.findings if _is_told(one, prediction))
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
    container, making = draft.container, draft.container.making
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
        datasets=prediction.datasets.get(draft.ctid, ()),
        folders=prediction.folders.get(draft.ctid, ()),
        start=making.start_at_boot is True or not is_source,
        snapshot=making.snapshot or "",
        install=_install(container),
    )


def _install(container: Container) -> Install | None:
    """How Docker comes into it, None where it brings its own; where one is, nothing is done."""
    if not container.docker or container.install_source == "keep":
        return None
    driver = container.storage_driver
    if driver is None or driver == "keep":
        driver = "fuse-overlayfs"
    return Install(container.install_source, driver, container.install_repository)


def _driver(draft: Draft) -> str:
    """What its Docker shall say of its storage driver, "" where that is not known before."""
    install = _install(draft.container)
    brings_its_own = draft.source is not None and draft.source.docker
    if install is None or brings_its_own:
        return ""
    return "" if install.driver == "auto" else install.driver


@dataclass
class _Predictor:
    """The making of a prediction; `findings`: what it has to say."""

    fleet: Fleet
    options: Options
    facts: NodeFacts
    templates: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)
    drafts: dict[int, Draft] = field(default_factory=dict)
    datasets: dict[int, tuple[Dataset, ...]] = field(default_factory=dict)
    folders: dict[int, tuple[Folder, ...]] = field(default_factory=dict)
    #: The confs of those that others of this run are cloned from, as they are going to be.
    finished: dict[int, ContainerChange] = field(default_factory=dict)

    def predict(self, new: Sequence[Container], checks: Checks) -> Prediction:
        """Draft all of them, each once those are there that it is made from."""
        self.findings += checks.selection()
        described = []
        for container in new:
            if found := checks.without_source(container):
                self.findings.append(found)
            else:
                described.append(container)
        for container in self._in_order(described):
            problems = [*checks.container(container)]
            self.findings += problems
            if not any(one.severity == Severity.ERROR for one in problems):
                self._draft(_meant(container))
        return self._prediction()

    def _prediction(self) -> Prediction:
        containers = {
            **self.fleet.containers,
            **{ctid: draft.container for ctid, draft in self.drafts.items()},
        }
        pct, storage = self.facts.containers, self.facts.storage
        there = {ctid: draft.observed(pct.node) for ctid, draft in self.drafts.items()}
        places = {
            mount.dataset: self._place_of(mount.dataset)
            for draft in self.drafts.values()
            for mount in draft.container.mounts
            if mount.dataset
            and mount.dataset not in storage.datasets
            and mount.source not in storage.paths
        }
        folders = [one.path for its in self.folders.values() for one in its]
        return Prediction(
            fleet=replace(self.fleet, containers=MappingProxyType(containers)),
            options=self.options.model_copy(update={"only": tuple(self.drafts)}),
            facts=replace(
                self.facts,
                containers=replace(pct, containers={**pct.containers, **there}),
                storage=replace(
                    storage,
                    paths=(*storage.paths, *folders),
                    datasets={**storage.datasets, **places},
                ),
            ),
            drafts=tuple(self.drafts.values()),
            datasets=self.datasets,
            folders=self.folders,
            findings=tuple(self.findings),
        )

    def _in_order(self, new: Sequence[Container]) -> list[Container]:
        """Those that others need or are cloned from first."""
        waiting = [
            replace(one, dependencies=(*one.dependencies, *filter(None, (one.making.clone_from,))))
            for one in new
        ]
        chains = [*circles({one.ctid: one.dependencies for one in waiting})]
        for chain in chains:
            text = " → ".join(map(str, chain))
            self._error(
                chain[0],
                f"they wait for each other ({text})",
                "take one out of dependencies or clone_from_ctid",
            )
        if chains:
            return []
        known = {one.ctid: one for one in new}
        return [known[one.ctid] for one in in_order(waiting)]

    # --- one container --------------------------------------------------------------------------

    def _draft(self, container: Container) -> None:
        origin = container.making.clone_from
        if origin is None:
            draft = from_template(self._with_fuse(container))
        else:
            source = self._source(origin, container)
            if source is None:
                return
            its = container if source.docker else self._with_fuse(container)
            # a clone is as privileged as its source
            draft = from_source(replace(its, unprivileged=source.conf.unprivileged), source)
            if container.unprivileged is not None and (
                container.unprivileged is not source.conf.unprivileged
            ):
                words = ["privileged", "unprivileged"]
                self._error(
                    container.ctid,
                    f"unprivileged: CT {origin}, which it is cloned from, is "
                    f"{words[source.conf.unprivileged]}, and so are its clones",
                )
                return
        for note in draft.notes:
            self._note(Code.MADE, container.ctid, note)
        self._gpu(draft.container)
        if not (self._is_roots(draft) and self._storage(draft)):
            return
        self.drafts[container.ctid] = draft
        if container.ctid in {one.making.clone_from for one in self.fleet.containers.values()}:
            prediction = self._prediction()
            only = self.options.model_copy(update={"only": (container.ctid,)})
            plan = planned_as_there(replace(prediction, options=only), self.templates)
            changes = {one.ctid: one for one in plan.containers}
            if change := changes.get(container.ctid):
                self.finished[container.ctid] = change

    def _source(self, origin: int, container: Container) -> Source | None:
        entry = self.fleet.containers.get(origin)
        snapshot = (entry.making.snapshot if entry else None) or ""
        docker = bool(entry and entry.docker)
        if change := self.finished.get(origin):
            return Source(
                origin,
                clone_of(change.after),
                snapshot,
                size=self.drafts[origin].size,
                managed=change.managed.render() if change.managed else None,
                docker=docker,
            )
        observed = self.facts.containers.containers.get(origin)
        if observed is None:
            # what stands against that one is told of itself
            return None
        return self._existing(observed, container, snapshot, docker)

    def _existing(
        self, observed: ObservedContainer, container: Container, snapshot: str, docker: bool
    ) -> Source | None:
        conf, origin, ctid = observed.conf, observed.ctid, container.ctid
        if snapshot and snapshot not in conf.snapshots_names:
            if not conf.template and not observed.running:
                self._note(
                    Code.MADE, ctid, f"CT {origin} has no snapshot {snapshot}: cloned as it is now"
                )
            snapshot = ""
        if observed.running and not snapshot and not conf.template:
            name = (
                (self.fleet.containers[origin].making.snapshot or "")
                if (origin in self.fleet.containers)
                else ""
            )
            way = (
                f"pct snapshot {origin} {name}"
                if name
                else ("name a snapshot of it in its template_snapshot_name")
            )
            self._error(
                ctid,
                f"CT {origin}, which it is cloned from, runs, and pct copies no disk in use",
                f"stop it (pct shutdown {origin}), or {way}",
            )
            return None
        return Source(
            origin,
            clone_of(conf, snapshot),
            snapshot,
            full=not conf.template or container.making.storage is not None,
            size=disk_size(conf, snapshot),
            managed=observed.managed,
            docker=docker,
        )

    def _with_fuse(self, container: Container) -> Container:
        """With the feature that its storage driver needs."""
        install = _install(container)
        if install is None or install.driver == "overlay2":
            return container
        if container.features.get("fuse", "1") == "1":
            features = MappingProxyType({"fuse": "1", **container.features})
            return replace(container, features=features)
        if install.driver == "fuse-overlayfs":
            text = "fuse-overlayfs needs fuse=1, and pct_options says fuse=0"
            self._error(container.ctid, text, code=Code.FUSE)
        return container

    def _is_roots(self, draft: Draft) -> bool:
        """Whether its disk belongs to its root: Proxmox makes it before our raw lines are there."""
        made, then = (owner_on_node(conf, 0, 0) for conf in (draft.conf, draft.mapped))
        if made == then:
            return True
        text = f"id_maps: its disk would belong to {made}, and its root is {then} on the node"
        self._error(draft.ctid, text, f"let 0 begin at {made and made[0]}, for u and g")
        return False

    def _gpu(self, container: Container) -> None:
        """That it shall have a GPU, and the node shows none."""
        if not (container.nvidia or container.gpus):
            return
        if not container.gpus:
            text = "nvidia is in its features, and gpu_assignment names no GPU: it gets none"
            self._note(Code.NO_GPU, container.ctid, text)
        elif not any(device in self.facts.storage.paths for device in container.devices):
            self._note(
                Code.NO_GPU,
                container.ctid,
                "this node shows no GPU: it is made without its devices",
                "install NVIDIA's driver on the node, then harden brings them in",
            )

    def _storage(self, draft: Draft) -> bool:
        """Plan the datasets and folders that it mounts; whether all of them can be had."""
        storage, stock = self.facts.storage, self.facts.stock
        datasets, folders = [], []
        fine = True
        for mount in draft.container.mounts:
            source = mount.source_on(storage.datasets)
            if source in storage.paths or source in storage.datasets.values():
                continue
            owner = owner_on_node(draft.mapped, *(mount.owner or (0, 0)))
            if owner is None:
                text = f"{mount.origin}: its id maps have none for owner {mount.owner}"
                self._error(draft.ctid, text)
                fine = False
            elif mount.dataset is None:
                folders.append(Folder(source, owner))
            elif (name := self._dataset(mount.dataset)).partition("/")[0] in stock.pools:
                if not _NEW_DATASET.fullmatch(name):
                    text = f"{mount.origin}: {name} is no name for a dataset that is made"
                    self._error(draft.ctid, text, "letters, digits and _ . : - between slashes")
                    fine = False
                datasets.append(Dataset(name, mount.quota, owner))
            else:
                self._error(
                    draft.ctid,
                    f"{mount.origin}: there is no ZFS pool {mount.dataset.partition('/')[0]} on "
                    f"this node, and no folder {source}",
                    "name a pool (zpool list), or make the folder",
                )
                fine = False
        self.datasets[draft.ctid], self.folders[draft.ctid] = tuple(datasets), tuple(folders)
        return fine

    def _dataset(self, name: str) -> str:
        """The dataset that is meant: the pool may be a storage of Proxmox's."""
        pool, _, rest = name.partition("/")
        storage = self.facts.stock.storages.get(pool)
        if pool in self.facts.stock.pools or storage is None or not storage.pool:
            return name
        return f"{storage.pool}/{rest}"

    def _place_of(self, name: str) -> str:
        """Where ZFS is going to mount a new dataset: below what is above it."""
        real = self._dataset(name)
        datasets = self.facts.storage.datasets
        parts = real.split("/")
        for length in range(len(parts) - 1, 0, -1):
            if place := datasets.get("/".join(parts[:length])):
                return "/".join([place.rstrip("/"), *parts[length:]])
        return f"/{real}"

    # --- what it says ---------------------------------------------------------------------------

    def _error(self, ctid: int, message: str, fix: str = "", code: Code = Code.NOT_MADE) -> None:
        name = self.fleet.containers[ctid].name or ""
        self.findings.append(Finding(code, Severity.ERROR, message, ctid, name, fix))

    def _note(self, code: Code, ctid: int, message: str, fix: str = "") -> None:
        name = self.fleet.containers[ctid].name or ""
        self.findings.append(Finding(code, Severity.NOTE, message, ctid, name, fix))


def _meant(container: Container) -> Container:
    """What the file means for a container that is new: where it says nothing, something follows."""
    its = container
    if not its.says_profile:
        its = replace(its, profile=its.implied)
    if its.unprivileged is None and its.making.clone_from is None:
        its = replace(its, unprivileged=True)
    return its
