"""A run of pyinfra: what its nodes share, how its steps hang together, and what came of them.

pyinfra runs a deploy file once per host, side by side. Some questions are about all of them
(is a CTID of `only=` anywhere?), so the first host to arrive asks every node, and the others
take the same answer.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from logging import LogRecord
from pathlib import Path
from typing import Self, TypeVar, cast

from gevent.lock import RLock
from gevent.pool import Pool
from pyinfra import logger
from pyinfra.api import DeployError, Host, State
from pyinfra.api.exceptions import FactProcessError, PyinfraError
from pyinfra.api.operation import OperationMeta
from pyinfra.api.output import echo
from pyinfra.api.state import BaseStateCallback
from pyinfra.context import ctx_host, ctx_state
from pyinfra.operations import python
from typing_extensions import override

from deploys.steps.alive import notice_silence
from facts.observe import ask_node
from operations.diff import tells_all
from operations.there import There
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.facts import NodeFacts, read_facts
from phoenix.plan.findings import Severity
from phoenix.plan.options import OFFLINE, Options, OptionsError, Recipe, parse_options
from phoenix.plan.questions import Request
from phoenix.plan.reach import absent_nodes
from phoenix.plan.turns import Turn
from phoenix.report.endings import Ended, Kind, NodeEnd, end_data, end_json, end_lines
from phoenix.report.groups import finding_lines
from phoenix.report.plan import plan_data, plan_json
from phoenix.report.terminal import result
from phoenix.runs.outcome import Ending, Outcome, read_outcome, read_outcomes
from phoenix.runs.record import new_run_id
from phoenix.text.printable import printable

T = TypeVar("T")

#: What to do about a node that is not of this run.
UNREACHED = "this run does not reach that: add it to PHOENIX_NODES, or bring it up"

#: One host asks for all of them, the others wait for it.
lock = RLock()


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
        self, operation: Callable[..., OperationMeta], always: bool = False, **arguments: object
    ) -> None:
        """Add an operation of this run; left out, on every node, once one has failed anywhere.

        Its failure does not drop the host (pyinfra would drop the result table with it);
        `verdict` turns it into the exit code. `always`: it is done whatever has failed.
        """
        if not always:
            arguments["_if"] = self.is_going_well
        step = operation(run=self.id, _ignore_errors=True, **arguments)
        here = ctx_host.get()
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
        plan, confs = self.plans[host], self.facts[host].containers.containers
        removals = [one.ctid for one in plan.removals if one.ctid in confs]
        cut = [(one.ctid, confs[one.ctid].conf) for one in plan.interrupted if one.ctid in confs]
        names = {one.ctid: "" for one in plan.interrupted}
        names |= {ctid: conf.hostname or "" for ctid, conf in cut}
        names |= {new.ctid: new.name for new in plan.creations}
        names |= {change.ctid: change.name for change in plan.containers}
        names |= {new.ctid: new.name for new in plan.installs}
        names |= {goes.ctid: goes.name for goes in plan.destructions}
        names |= {ctid: confs[ctid].conf.hostname or "" for ctid in removals}
        # one that is left alone may be on another node
        names |= {
            ctid: (confs[ctid].conf.hostname or "") if ctid in confs else "" for ctid in plan.alone
        }
        ended = tuple(Ended(ctid, name, *self._result(host, ctid)) for ctid, name in names.items())
        failed = any(one.is_complete() and one.did_error() for one in self.own.get(host, ()))
        return NodeEnd(plan.node, ended, self.as_wanted(host), failed)

    def _result(self, host: Host, ctid: int) -> tuple[Kind, str]:
        kind, text = self._came_to(host, ctid)
        there = self.moved.get((host, ctid))
        return kind, f"on {self.plans[there].node} now: {text}" if there else text

    def _came_to(self, host: Host, ctid: int) -> tuple[Kind, str]:
        if alone := self.plans[host].alone.get(ctid):
            return Kind.ATTENTION, alone
        if obstacles := self.obstacles.get((host, ctid)):
            return Kind.ATTENTION, f"refused: {obstacles[0]}"
        steps = self.containers.get((host, ctid), [])
        parts = [_Part.of(step, ctid, step in self.together) for step in steps]
        failed = [part for part in parts if part.failed]
        ran = [part for part in failed[-1:] or parts if part.executed]
        told = [part.outcome for part in ran if part.outcome]
        done = any(one.ending is Ending.DONE for one in told)
        # before its commit may come packages, and after it in a rollback
        begun = failed or ran[-1:] == parts[-1:] or done
        if not (ran and begun):
            return Kind.NOT_BEGUN, "not begun"
        text = result(told, not failed)
        if failed:
            return (Kind.ATTENTION if told else Kind.UNKNOWN), text
        is_new = any(one.ending is not Ending.CHANGED for one in told)
        return (Kind.DONE if is_new else Kind.UNCHANGED), text


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


@dataclass(frozen=True, eq=False)
class _Part:
    """What a step has come to for one container."""

    executed: bool
    failed: bool
    outcome: Outcome | None

    @classmethod
    def of(cls, step: OperationMeta, ctid: int, of_several: bool) -> Self:
        """Read it. `of_several`: the step goes from one to the next, and ends where one fails."""
        failed = step.is_complete() and step.did_error()
        lines = step.stdout_lines if step.executed else []
        if not of_several:
            outcome = read_outcome(ctid, lines)
            is_lost = failed and _is_planned_anew(ctid, lines)
            return cls(step.executed, failed, None if is_lost else outcome)
        told = read_outcomes(lines)
        outcome = told.get(ctid)
        ends = any(one.ending not in (Ending.DONE, Ending.CHANGED) for one in told.values())
        if outcome:
            is_lost = failed and not ends and _is_planned_anew(ctid, lines)
            outcome = None if is_lost else outcome
            return cls(True, failed and (is_lost or told[ctid].ending is not Ending.DONE), outcome)
        # where none has failed the connection was lost
        return cls(step.executed and not ends, failed and not ends, None)


def _is_planned_anew(ctid: int, lines: Sequence[str]) -> bool:
    """Whether the last word of a container is that it is another one than was planned.

    What is begun then has an ending of its own; without it nobody knows what became of it.
    """
    told = [one for line in lines if (one := read_outcome(ctid, [line]))]
    return [one.ending for one in told] == [Ending.CHANGED]


def _named(arguments: Mapping[str, object]) -> Sequence[int]:
    """The containers that the arguments of an operation name."""
    ctid, ctids = arguments.get("ctid"), arguments.get("ctids", ())
    return (ctid,) if isinstance(ctid, int) else cast(Sequence[int], ctids)


def read_options(state: State, recipe: Recipe) -> Options:
    """What the operator gave, once it is clear which nodes are left. Raises DeployError."""
    try:
        options = parse_options(state.inventory.override_data, recipe)
    except OptionsError as error:
        raise DeployError(str(error)) from None
    offline, unreached = absent(state, {*state.inventory} - state.failed_hosts)
    if problems := absent_nodes(options, unreached, offline):
        raise DeployError("\n".join(problems))
    if left_out := [*offline, *unreached]:
        show([f"left out, nothing is known of what runs there: {', '.join(left_out)}"])
    return options


def absent(state: State, there: Collection[Host]) -> tuple[list[str], list[str]]:
    """The members of clusters that are offline, and the nodes of the inventory that are not there.

    `there`: those of the inventory that are.
    """
    offline = {name for host in state.inventory for name in host.data.get(OFFLINE) or ()}
    return sorted(offline), sorted(host.name for host in state.inventory if host not in there)


def ask(state: State, question: Callable[[Host], T]) -> dict[Host, T]:
    """Ask the nodes side by side, as many as pyinfra would, and outside its own pool: that waits
    for us.
    """

    def answer(host: Host) -> T | None:
        with ctx_state.use(state), ctx_host.use(host), suppress(PyinfraError):
            return question(host)
        return None  # no host is left: that is said below, for all of them

    hosts = sorted(state.inventory.get_active_hosts(), key=lambda host: host.name)
    left_out = {*state.failed_hosts}
    answers = dict(zip(hosts, Pool(state.config.PARALLEL).map(answer, hosts), strict=True))
    if failed := state.failed_hosts - left_out:
        names = ", ".join(sorted(host.name for host in failed))
        text = f"could not collect facts from {names} (see above); nothing was changed"
        raise DeployError(text)
    return cast(dict[Host, T], answers)


def observe(host: Host, request: Request, known: NodeFacts | None = None) -> NodeFacts:
    """Ask a node in one command; `known`: what it said before, of which the rest is kept.

    Raises PyinfraError where it does not answer, or with what is not understood.
    """
    answer = ask_node(host, request)
    if not answer:
        if not host.state.is_executing:
            host.state.failed_hosts.add(host)
        raise FactProcessError("it does not answer")
    try:
        return replace(known or NodeFacts(), **read_facts(answer))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        show([f"{host.name}: its answer is not understood: {type(error).__name__} {error}"])
        if not host.state.is_executing:
            host.state.failed_hosts.add(host)
        raise FactProcessError(str(error)) from None


def show_steps(state: State) -> None:
    """Have pyinfra tell what each step says and takes; what an operator watches.

    A step of one node is none of the others: that pyinfra skips them is told where everything is.
    A node that is gone is told, too, and not waited for.
    """
    notice_silence(state)
    state.print_output = True
    if not tells_all(state):
        logger.addFilter(_is_not_skipped)


def _is_not_skipped(record: LogRecord) -> bool:
    # pyinfra.api.operations, run_host_op
    return "Skipped" not in record.getMessage()


def write(path: Path, text: str, key: str) -> None:
    """Write a file that `--data KEY=` asks for. Raises DeployError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", "backslashreplace")
    except OSError as error:
        raise DeployError(f"cannot write --data {key}={path}: {error.strerror}") from None
    show([f"written: {path}"])


def show(lines: Iterable[str]) -> None:
    """Tell the operator, one printable line each; stdout is for `--json`."""
    for line in lines:
        echo(printable(line, None), err=True)
