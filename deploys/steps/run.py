"""A run of pyinfra: how its steps hang together over all nodes, and what came of them."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from pyinfra.api import DeployError, Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import OperationMeta
from pyinfra.api.state import BaseStateCallback
from pyinfra.context import ctx_host
from pyinfra.operations import python
from typing_extensions import override

from deploys.steps.asking import absent
from deploys.steps.ends import came_to, concerned
from deploys.steps.progress import watch_progress
from deploys.steps.screen import show, write
from operations.diff import tells_all
from operations.there import There
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Severity
from phoenix.plan.options import Options, Recipe
from phoenix.plan.turns import Turn
from phoenix.report.endings import Ended, Kind, NodeEnd, end_data, end_json, end_lines
from phoenix.report.groups import finding_lines
from phoenix.report.plan import plan_data, plan_json
from phoenix.report.progress import Place
from phoenix.runs.record import new_run_id

#: What to do about a node that is not of this run.
UNREACHED = "this run does not reach that: add it to PHOENIX_NODES, or bring it up"


@dataclass(kw_only=True)
class Run(ABC):
    """What all runs have: `facts` and `plans` by node, and what became of it so far.

    `undoes`: the run that this one rolls back; `has_failed`: whether a step has; `containers`: the
    steps of each node's container, by CTID; `together`: those of them that are about several
    containers; `own`: those that are about a node and none of its containers; `obstacles`: what
    stood against a container that had to be planned anew; `moved`: where one is that was on another
    node; `waiting`: the nodes whose verdict is still to come.
    """

    state: State
    recipe: Recipe
    options: Options
    facts: Mapping[Host, NodeFacts]
    plans: dict[Host, NodePlan]
    id: str = field(default_factory=lambda: new_run_id(datetime.now(UTC), secrets.randbits(16)))
    undoes: str = ""
    has_failed: bool = False
    containers: dict[tuple[Host, int], list[OperationMeta]] = field(default_factory=dict)
    together: list[OperationMeta] = field(default_factory=list)
    obstacles: dict[tuple[Host, int], list[str]] = field(default_factory=dict)
    moved: dict[tuple[Host, int], Host] = field(default_factory=dict)
    own: dict[Host, list[OperationMeta]] = field(default_factory=dict)
    waiting: set[Host] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Hear of each step that fails: it is asked before each one, however many there are."""
        self.state.add_callback_handler(_Failures(self))
        self._progress = watch_progress(self.state)

    @property
    def plan(self) -> NodePlan:
        """The plan of the node at hand."""
        return self.plans[ctx_host.get()]

    @property
    def changed(self) -> Mapping[str, list[int]]:
        """By node its containers that are changed, in their order."""
        return {host.name: [one.ctid for one in its.containers] for host, its in self.plans.items()}

    @property
    @abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """Whose turn it is, one after another."""

    def check(self) -> None:
        """Raise DeployError with what stands against changing anything, over all nodes."""
        problems = []
        for plan in self.plans.values():
            errors = (one for one in plan.findings if one.severity == Severity.ERROR)
            lines = finding_lines(errors, tells_all(self.state))
            problems += [f"{plan.node}: {line}" for line in lines]
        if problems:
            raise DeployError("\n".join(problems))

    def write_plan(self, recipe: Recipe) -> None:
        """Write the plans to the file of `plan=`, if one is given. Raises DeployError."""
        if not self.options.plan:
            return
        data = plan_data([*self.plans.values()], self.id, recipe, datetime.now(UTC))
        write(Path(self.options.plan), plan_json(data), "plan")

    @abstractmethod
    def ask_again(self, host: Host, options: Options) -> NodeFacts:
        """Ask a node once more about what `options` select. Raises PyinfraError."""

    @abstractmethod
    def plan_again(self, host: Host, options: Options, facts: NodeFacts) -> NodePlan:
        """Plan what `options` select of a node."""

    def replan(self, ctid: int) -> ContainerChange | There | None:
        """Ask the node again and plan one container anew: somebody changed it meanwhile.

        One that is on another node of this run by now is planned there. None: there is nothing
        left to do for it, or something stands against it; the run has failed then.
        """
        here = ctx_host.get()
        options = self.options.model_copy(update={"only": (ctid,)})
        try:
            facts = self.ask_again(here, options)
            if not self._has_moved(ctid, facts):
                return self._anew(here, here, ctid, options, facts)
            if (there := self._found(here, ctid, facts)) is None:
                return None
            facts = self.ask_again(there, options)
            if ctid not in facts.containers.containers:
                del self.moved[here, ctid]
                self._refused(here, ctid, "it goes on moving: run again when it stays")
                return None
            change = self._anew(here, there, ctid, options, facts)
            return change and There(there, change, facts.dockers.get(ctid), self.undoes)
        except PyinfraError as error:
            text = f"it was to be planned anew, and its node was asked in vain: {error}"
            self._refused(here, ctid, text)
            return None

    def _refused(self, here: Host, ctid: int, why: str) -> None:
        """Have the run fail: a container is left as it is."""
        self.obstacles[here, ctid] = [why]
        show([f"CT {ctid}: {why}"])

    @staticmethod
    def _has_moved(ctid: int, facts: NodeFacts) -> bool:
        """Whether another node of the cluster has the container by now."""
        pct = facts.containers
        return ctid not in pct.containers and ctid in pct.elsewhere

    def _found(self, here: Host, ctid: int, facts: NodeFacts) -> Host | None:
        """The node of this run that has a container which `here` had; None: it has none."""
        name = facts.containers.elsewhere[ctid]
        found = [
            host
            for host, one in self.facts.items()
            if host is not here and one.containers.node == name
        ]
        if len(found) != 1:
            why = f"nothing was changed: {UNREACHED}, and run again"
            if found:
                why = "several nodes of this run have that name: run with its own cluster alone"
            self._refused(here, ctid, f"it is on {name} now: {why}")
            return None
        self.moved[here, ctid] = found[0]
        show([f"CT {ctid}: it is on {name} now and planned anew there"])
        return found[0]

    def _anew(
        self, here: Host, there: Host, ctid: int, options: Options, facts: NodeFacts
    ) -> ContainerChange | None:
        """Plan one container anew on the node where it is; `here`: where its turn is."""
        plan = self.plan_again(there, options, facts)
        its = (one for one in plan.findings if one.ctid == ctid)
        show(f"[{there.name}] {one}" for one in its if one.severity != Severity.ERROR)
        if plan.problems:
            show(plan.problems)
            self.obstacles[here, ctid] = [*plan.problems]
            return None
        if alone := plan.alone.get(ctid):
            self.obstacles[here, ctid] = [alone]
            return None
        return plan.changes.get(ctid)

    def step(
        self,
        operation: Callable[..., OperationMeta],
        name: str,
        always: bool = False,
        place: Place | None = None,
        **arguments: object,
    ) -> None:
        """Add an operation of this run; left out, on every node, once one has failed anywhere.

        Its failure does not drop the host (pyinfra would drop the result table with it);
        `verdict` turns it into the exit code. `always`: it is done whatever has failed;
        `place`: which of those it is that take turns.
        """
        if not always:
            arguments["_if"] = self.is_going_well
        name = place.after(name) if place else name
        step = operation(run=self.id, name=name, _ignore_errors=True, **arguments)
        here = ctx_host.get()
        if place and self._progress:
            self._progress.places[here.op_hash_order[-1]] = place
        if "ctids" in arguments:
            self.together.append(step)
        for ctid in (named := _named(arguments)):
            self.containers.setdefault((here, ctid), []).append(step)
        if not named:
            self.own.setdefault(here, []).append(step)

    @staticmethod
    def meet(name: str) -> None:
        """An operation that does nothing: what comes after it waits for all nodes that have it.

        pyinfra keeps the order of operations on different hosts only by those that they share.
        """
        python.call(name=name, function=_nothing)

    def is_going_well(self) -> bool:
        """Whether no step has failed so far and nothing stood in the way of one, on any node."""
        return not self.has_failed and not self.obstacles

    def verdict(self) -> None:
        """Add the last operation of a node: the last node to come to it says what became of all.

        And it makes the run's exit code tell the truth. Nothing where nothing was to do.
        """
        here = ctx_host.get()
        if self.plan.empty and not self.plan.alone and not self.options.report:
            return
        self.waiting.add(here)

        def tell() -> None:
            # who asked for all of them hears that one was left as it is
            if self.plans[here].alone or not self.is_going_well():
                self.state.failed_hosts.add(here)
            self.waiting.discard(here)
            if not self.waiting & self.state.active_hosts:
                self._tell_ends()

        python.call(name="Verdict", function=tell)

    def as_wanted(self, host: Host) -> int:
        """How many of the run's containers a node has to which nothing is to be done."""
        return 0

    def _tell_ends(self) -> None:
        """What became of the containers of all nodes, on the terminal and in a file."""
        hosts = sorted(self.plans, key=lambda host: self.plans[host].node)
        ends = [self._end(host) for host in hosts]
        left_out = [name for names in absent(self.state, {*self.plans}) for name in names]
        show(end_lines(ends, self.recipe, left_out, tells_all(self.state)))
        if self.options.report:
            data = end_data(ends, self.recipe, self.id, left_out, datetime.now(UTC))
            try:
                write(Path(self.options.report) / f"{self.recipe}.json", end_json(data), "report")
            except DeployError as error:
                show([str(error)])
                self.state.failed_hosts.update(hosts)

    def _end(self, host: Host) -> NodeEnd:
        """What a node's containers have come to, in their order."""
        plan = self.plans[host]
        names = concerned(plan, self.facts[host].containers.containers)
        ended = tuple(Ended(ctid, name, *self._result(host, ctid)) for ctid, name in names.items())
        failed = any(one.is_complete() and one.did_error() for one in self.own.get(host, ()))
        return NodeEnd(plan.node, ended, self.as_wanted(host), failed)

    def _result(self, host: Host, ctid: int) -> tuple[Kind, str]:
        if alone := self.plans[host].alone.get(ctid):
            kind, text = Kind.ATTENTION, alone
        elif obstacles := self.obstacles.get((host, ctid)):
            kind, text = Kind.ATTENTION, f"refused: {obstacles[0]}"
        else:
            kind, text = came_to(ctid, self.containers.get((host, ctid), ()), self.together)
        there = self.moved.get((host, ctid))
        return kind, f"on {self.plans[there].node} now: {text}" if there else text


class _Failures(BaseStateCallback):
    """Tells a run of the operations that fail."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @override
    def operation_host_error(  # type: ignore[override]
        self, state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        self._run.has_failed = True


def _nothing() -> None:
    """What is left to do where nodes have come to the same place."""


def _named(arguments: Mapping[str, object]) -> Sequence[int]:
    """The containers that the arguments of an operation name."""
    ctid, ctids = arguments.get("ctid"), arguments.get("ctids", ())
    return (ctid,) if isinstance(ctid, int) else cast(Sequence[int], ctids)
