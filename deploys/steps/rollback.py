"""What a rollback needs to know: which run is rolled back, and what it left on every node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_state

from deploys.steps.asking import ask, lock, observe, read_options
from deploys.steps.run import Run
from deploys.steps.screen import show, show_steps
from operations.diff import tells_all
from phoenix.docker.names import DAEMON_JSON
from phoenix.plan.actions import NodePlan
from phoenix.plan.apart import hold_noted, hold_recoveries, staged_apart
from phoenix.plan.etc_pve import check_etc_pve
from phoenix.plan.facts import NodeFacts
from phoenix.plan.gathered import gathered
from phoenix.plan.node import set_apart, unreadable_runs
from phoenix.plan.options import Options
from phoenix.plan.rollback import Node, plan_rollback
from phoenix.plan.turns import Turn, turns
from phoenix.pve.observed import ObservedPct
from phoenix.report.terminal import plan_lines, run_lines
from phoenix.runs.files import ObservedRuns
from phoenix.runs.record import Change, RunRecord, last_run


@dataclass(kw_only=True)
class Rollback(Run):
    """A run that rolls back another; `undoes`: the id of that one, "" where nothing is to do.

    `latest`: what nodes have said since the run was planned.
    """

    latest: dict[Host, NodeFacts] = field(default_factory=dict)

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Whose turn it is: the nodes one after another, or beside each other."""
        changes = (one for plan in self.plans.values() for one in plan.containers)
        apart = {one.ctid: {*one.apart} for one in changes}
        return turns(self.changed, self.options.rolling, apart=apart)

    def ask_again(self, host: Host, options: Options) -> NodeFacts:
        """Ask for everything: what was recovered in between has changed the journals."""
        known = observe(host, _FIRST)
        others = {**self._now, host: known}
        self.latest[host] = _look(host, self.undoes, known, others)
        return self.latest[host]

    def plan_again(self, host: Host, options: Options, facts: NodeFacts) -> NodePlan:
        """Compare what the run left with what is there."""
        now = {**self._now, host: facts}
        return _plan(self.undoes, options, _nodes(self.undoes, now)[host], now, host)

    @property
    def _now(self) -> dict[Host, NodeFacts]:
        return {**self.facts, **self.latest}


_rollbacks: WeakKeyDictionary[State, Rollback] = WeakKeyDictionary()
_FIRST: dict[str, dict[str, Any]] = {"runs": {"unfinished": False}, "containers": {}}


def planned_rollback() -> Rollback:
    """The rollback at hand, asked for once per pyinfra run. Raises DeployError, nothing else."""
    state = ctx_state.get()
    with lock:
        if state not in _rollbacks:
            run = _look_back(state)
            run.write_plan("rollback")
            run.check()
            _rollbacks[state] = run
            show_steps(state)
        return _rollbacks[state]


def _look_back(state: State) -> Rollback:
    options = read_options(state, "rollback")
    facts = ask(state, lambda host: observe(host, _FIRST))
    runs = {host: one.runs for host, one in facts.items()}
    undoes = "" if options.list else _chosen(options, runs)
    if not undoes:
        working = {run for seen in runs.values() for run, _ in seen.active}
        show(problem for seen in runs.values() for problem in seen.problems)
        show(run_lines({host.name: seen.runs for host, seen in runs.items()}, working))
        nothing = {host: NodePlan(host.name) for host in runs}
        return Rollback(
            state=state, recipe="rollback", options=options, facts=facts, plans=nothing, undoes=""
        )
    facts = ask(state, lambda host: _look(host, undoes, facts[host], facts))
    nodes = _nodes(undoes, facts)
    plans = {}
    for host, one in facts.items():
        changes = (*_changes(one.runs.runs, undoes), *_changes(nodes[host].runs, undoes))
        wanted = {one.thing.ctid for one in changes if one.thing.ctid}
        mine = wanted & {*options.only} if options.only else wanted
        planned = _plan(undoes, options, nodes[host], facts, host)
        plan = set_apart(planned, one.runs.interrupted, mine)
        kept = {ctid: {*staged_apart(its)} for ctid, its in nodes[host].run_files.staged.items()}
        plan = hold_recoveries(plan, kept, one.containers, _containers(facts))
        unwritable = check_etc_pve(plan, one.etc_pve)
        plans[host] = replace(plan, findings=(*plan.findings, *unwritable))
    show([f"rolling back run {undoes}"])
    show(line for plan in plans.values() for line in plan_lines(plan, everything=tells_all(state)))
    return Rollback(
        state=state, recipe="rollback", options=options, facts=facts, plans=plans, undoes=undoes
    )


def _look(
    host: Host, run: str, facts: NodeFacts, everywhere: Mapping[Host, NodeFacts]
) -> NodeFacts:
    """What a node knows of that run, and how everything is now that it changed.

    `everywhere`: what all nodes said of the run and of their containers: one may have come here.
    """
    changes = _changes(facts.runs.runs, run)
    paths = sorted({one.thing.path for one in changes if one.thing.ctid is None})
    others = (one.runs.runs for one in everywhere.values())
    guests = {one.thing.ctid for one in changes if one.thing.path in ("", DAEMON_JSON)} | {
        change.thing.ctid
        for runs in others
        for change in _changes(runs, run)
        if change.thing.path in ("", DAEMON_JSON)
        and change.thing.ctid in facts.containers.containers
    }
    request: dict[str, dict[str, Any]] = {"containers": {}, "etc_pve": {}}
    request["apparmor"] = {"files": []}
    if changes:
        request["run_files"] = {"run": run, "paths": paths}
    if guests:
        request["dockers"] = {"ctids": sorted(ctid for ctid in guests if ctid), "probe": []}
    return observe(host, request, facts)


def _nodes(run: str, facts: Mapping[Host, NodeFacts]) -> dict[Host, Node]:
    """The nodes as a rollback sees them: what became of a container is with the one that has it."""
    seen = {
        host: Node(one.runs.runs, one.run_files, one.containers, one.apparmor, one.dockers)
        for host, one in facts.items()
    }
    return gathered(run, seen)


def _plan(
    run: str, options: Options, node: Node, facts: Mapping[Host, NodeFacts], host: Host
) -> NodePlan:
    plan = hold_noted(plan_rollback(run, options, node), _containers(facts))
    # what a run did that nobody can read may stand on top of this one
    unreadable = unreadable_runs(facts[host].runs.problems)
    return replace(plan, findings=(*plan.findings, *unreadable))


def _containers(facts: Mapping[Host, NodeFacts]) -> dict[str, ObservedPct]:
    return {host.name: one.containers for host, one in facts.items()}


def _changes(runs: Sequence[RunRecord], run: str) -> tuple[Change, ...]:
    return next((one.changes for one in runs if one.id == run), ())


def _chosen(options: Options, runs: Mapping[Host, ObservedRuns]) -> str:
    """The run to roll back, "" where no node has any. Raises DeployError for one that none has."""
    every = [one for seen in runs.values() for one in seen.runs]
    if options.run and options.run not in {one.id for one in every}:
        raise DeployError(
            f"--data run={options.run}: no node of this inventory has that run: "
            "--data list=true shows those that there are"
        )
    return options.run or last_run(every) or ""
