"""The containers that create is going to make, as if they were there already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from phoenix.fleet.model import Container, Fleet
from phoenix.fleet.order import circles, in_order
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.clones import Source, from_existing, from_made
from phoenix.plan.create_checks import NO_OTHERS, Checks
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.install import wanted_install
from phoenix.plan.new_conf import Draft, from_source, from_template
from phoenix.plan.new_storage import NewStorage, plan_storage
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.pve.id_maps import owner_on_node, owner_words
from phoenix.pve.observed import ObservedPct
from phoenix.pve.storage import ObservedStorage


@dataclass(frozen=True)
class Prediction:
    """The node with what is to be made, as if it were there.

    `fleet`: the file as it is meant for them; `options`: those and no others; `drafts`: in the
    order in which they are made; `storage`: what is made for each; `findings`: what stands against
    it, and what to know.
    """

    fleet: Fleet
    options: Options
    facts: NodeFacts
    drafts: tuple[Draft, ...] = ()
    storage: Mapping[int, NewStorage] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def missing(fleet: Fleet, options: Options, nodes: Iterable[ObservedPct]) -> list[Container]:
    """The containers of the file that are asked for and that no node and no cluster has."""
    there = {ctid for node in nodes for ctid in (*node.containers, *node.elsewhere)}
    return [
        container
        for ctid, container in fleet.containers.items()
        if ctid not in there and options.takes(container)
    ]


def predict(
    fleet: Fleet,
    options: Options,
    facts: NodeFacts,
    templates: Mapping[str, str],
    here: Collection[int] | None = None,
    inventory: Mapping[str, Collection[int]] = NO_OTHERS,
) -> Prediction:
    """The node as it is going to be, for `creation_plan` and for what else asks about it.

    `templates`: as for `plan_node`; `here`: what this node is to make (`share_out`), None for all
    that is missing; `inventory`: all nodes of the run, each with what it has then.
    """
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


@dataclass
class _Predictor:
    """The making of a prediction; `findings`: what it has to say."""

    fleet: Fleet
    options: Options
    facts: NodeFacts
    templates: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)
    drafts: dict[int, Draft] = field(default_factory=dict)
    storage: dict[int, NewStorage] = field(default_factory=dict)
    #: Those that others of this run are cloned from, planned.
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
        drafts = {ctid: draft.container for ctid, draft in self.drafts.items()}
        containers = MappingProxyType({**self.fleet.containers, **drafts})
        return Prediction(
            fleet=replace(self.fleet, containers=containers),
            options=self.options.model_copy(update={"only": tuple(self.drafts)}),
            facts=self._facts(),
            drafts=tuple(self.drafts.values()),
            storage=self.storage,
            findings=tuple(self.findings),
        )

    def _facts(self) -> NodeFacts:
        """The node with all that is drafted so far."""
        pct = self.facts.containers
        there = {ctid: draft.observed(pct.node) for ctid, draft in self.drafts.items()}
        return replace(
            self.facts,
            containers=replace(pct, containers={**pct.containers, **there}),
            storage=self._places(),
        )

    def _places(self) -> ObservedStorage:
        """What is made for those that are drafted is there for the next one."""
        storage = self.facts.storage
        folders = [one.path for its in self.storage.values() for one in its.folders]
        places = [place for its in self.storage.values() for place in its.places]
        return replace(
            storage,
            paths=(*storage.paths, *folders),
            datasets={**storage.datasets, **dict(places)},
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
        draft = self._drafted(container)
        if draft is None:
            return
        for note in draft.notes:
            self._note(Code.MADE, container.ctid, note)
        self._gpu(draft.container)
        new = plan_storage(draft, self._places(), self.facts.stock)
        for text, fix in new.problems:
            self._error(container.ctid, text, fix)
        if new.problems or not self._is_roots(draft):
            return
        self.drafts[container.ctid], self.storage[container.ctid] = draft, new
        if container.ctid in {one.making.clone_from for one in self.fleet.containers.values()}:
            self._finish(container.ctid)

    def _finish(self, ctid: int) -> None:
        """Plan one whole, for its clones."""
        only = self.options.model_copy(update={"only": (ctid,)})
        plan = planned_as_there(replace(self._prediction(), options=only), self.templates)
        self.finished |= {one.ctid: one for one in plan.containers if one.ctid == ctid}

    def _drafted(self, container: Container) -> Draft | None:
        if container.making.clone_from is None:
            return from_template(self._with_fuse(container))
        source = self._source(container.making.clone_from, container)
        if source is None:
            return None
        unprivileged = source.conf.unprivileged
        if container.unprivileged not in (None, unprivileged):
            how = "unprivileged" if unprivileged else "privileged"
            text = f"unprivileged: CT {source.ctid}, which it is cloned from, is {how}"
            self._error(container.ctid, f"{text}, and so are its clones")
            return None
        its = container if source.docker else self._with_fuse(container)
        return from_source(replace(its, unprivileged=unprivileged), source)

    def _source(self, origin: int, container: Container) -> Source | None:
        """What a clone is made from, None where that cannot be had."""
        entry = self.fleet.containers.get(origin)
        observed = self.facts.containers.containers.get(origin)
        if observed is None:
            # what stands against one that is to be made is told of itself
            made = self.finished.get(origin)
            return from_made(entry, made, self.drafts[origin].size) if entry and made else None
        source = from_existing(observed, entry, full=container.making.storage is not None)
        named = entry.making.snapshot if entry else None
        if source.snapshot or observed.conf.template:
            return source
        if not observed.running:
            if named:
                text = f"CT {origin} has no snapshot {named}: cloned as it is now"
                self._note(Code.MADE, container.ctid, text)
            return source
        way = "name a snapshot of it in its template_snapshot_name"
        if named:
            way = f"pct snapshot {origin} {named}"
        self._error(
            container.ctid,
            f"CT {origin}, which it is cloned from, runs, and pct copies no disk in use",
            f"stop it (pct shutdown {origin}), or {way}",
        )
        return None

    def _with_fuse(self, container: Container) -> Container:
        """With the feature that its storage driver needs."""
        install = wanted_install(container)
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
        disk, root = (owner_words(owner) for owner in (made, then))
        text = f"id_maps: its disk would belong to {disk}, and its root is {root} on the node"
        way = f"let 0 begin at {made[0]}, for u and g" if made else "take them out"
        self._error(draft.ctid, text, way)
        return False

    def _gpu(self, container: Container) -> None:
        """That it shall have a GPU, and the node shows none."""
        if not (container.nvidia or container.gpus):
            return
        if not container.gpus:
            text = "nvidia is in its features, and gpu_assignment names no GPU: it gets none"
            self._note(Code.NO_GPU, container.ctid, text)
        elif not any(map(self.facts.storage.has, container.devices)):
            self._note(
                Code.NO_GPU,
                container.ctid,
                "this node shows no GPU: it is made without its devices",
                "install NVIDIA's driver on the node, then harden brings them in",
            )

    # --- what it says ---------------------------------------------------------------------------

    def _error(self, ctid: int, message: str, fix: str = "", code: Code = Code.NOT_MADE) -> None:
        name = self.fleet.containers[ctid].name or ""
        self.findings.append(Finding(code, Severity.ERROR, message, ctid, name, fix))

    def _note(self, code: Code, ctid: int, message: str, fix: str = "") -> None:
        name = self.fleet.containers[ctid].name or ""
        self.findings.append(Finding(code, Severity.NOTE, message, ctid, name, fix))


def _meant(container: Container) -> Container:
    """What the file means for a container that is new: where it says nothing, something follows."""
    its = replace(container, profile=container.profile_when_made)
    if its.unprivileged is None and its.making.clone_from is None:
        its = replace(its, unprivileged=True)
    return its
