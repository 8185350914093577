"""What create needs to know: the fleet file, and what the nodes lack of it and have for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_host, ctx_state

from deploys.steps.asking import ask, lock, observe
from deploys.steps.screen import show, show_steps
from deploys.steps.survey import Survey, read_input, tell_warnings, watch_change, with_rules
from operations.diff import tells_all
from phoenix.plan.actions import NodePlan
from phoenix.plan.create import creation_plan, share_out
from phoenix.plan.creation import Creation
from phoenix.plan.etc_pve import check_etc_pve
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import check_named, rules_to_compile, set_apart, unreadable_runs
from phoenix.plan.predict import Prediction, predict
from phoenix.plan.questions import Request, asked_by_create
from phoenix.plan.watch import wanted_text
from phoenix.report.progress import Place
from phoenix.report.terminal import plan_lines


@dataclass(kw_only=True)
class Making(Survey):
    """A run that makes containers; `asked`: the request; `shares`: what each node is to make."""

    asked: Request
    shares: Mapping[str, Collection[int]]

    def foresee(self, facts: NodeFacts) -> Prediction:
        """A node as it is going to be."""
        there = {one.containers.node: one.containers.containers for one in self.facts.values()}
        inventory = {node: {*confs, *self.shares[node]} for node, confs in there.items()}
        here = self.shares[facts.containers.node]
        return predict(self.fleet, self.options, facts, self.templates, here, inventory)

    def plan_node(self, facts: NodeFacts, prediction: Prediction) -> NodePlan:
        """The plan of a node; what an earlier run was interrupted in making comes first."""
        whole = creation_plan(prediction, self.templates)
        half = half_made(facts)
        findings = (*whole.findings, *unreadable_runs(facts.runs.problems))
        plan = set_apart(
            replace(
                whole,
                creations=tuple(one for one in whole.creations if one.ctid not in half),
                findings=findings,
            ),
            facts.runs.interrupted,
            {draft.ctid for draft in prediction.drafts if draft.ctid in half},
        )
        plan = replace(plan, findings=(*plan.findings, *check_etc_pve(plan, facts.etc_pve)))
        if not whole.creations:
            return plan
        then = replace(whole, containers=tuple(one.change for one in whole.creations))
        wanted = wanted_text(prediction.fleet, prediction.options, prediction.facts, then)
        return replace(plan, watch=watch_change(self.options, wanted, facts))

    def making(self, number: int) -> Place:
        """Where the run is at a node's container of that number; the nodes make theirs at once."""
        return Place(number, max(len(plan.creations) for plan in self.plans.values()))

    def make_again(self, ctid: int) -> Creation | None:
        """Plan one anew whose making was interrupted, once it is gone; None: it is there."""
        host = ctx_host.get()
        facts = observe(host, self.asked, self.facts[host])
        if ctid in facts.containers.containers:
            return None
        plan = creation_plan(self.foresee(facts), self.templates)
        if plan.problems:
            show(plan.problems)
            self.obstacles[host, ctid] = [*plan.problems]
            return None
        return next((one for one in plan.creations if one.ctid == ctid), None)


_makings: WeakKeyDictionary[State, Making] = WeakKeyDictionary()


def planned_making() -> Making:
    """The run at hand, asked for once per pyinfra run. Raises DeployError, nothing else."""
    state = ctx_state.get()
    with lock:
        if state not in _makings:
            run = _look(state)
            run.write_plan("create")
            run.check()
            _makings[state] = run
            show_steps(state)
            for plan in run.plans.values():
                show(plan_lines(plan, everything=tells_all(state)))
        return _makings[state]


def half_made(facts: NodeFacts) -> set[int]:
    """The containers in whose making an earlier run was interrupted."""
    return {one.ctid for one in facts.runs.interrupted if one.makes}


def _look(state: State) -> Making:
    options, fleet, templates = read_input(state, "create")
    if problems := check_named(fleet, options):
        raise DeployError("\n".join(problems))
    asked = asked_by_create(fleet, options)
    facts = ask(state, lambda host: _without_half_made(observe(host, asked)))
    tell_warnings(fleet, options)
    shares, problems = share_out(fleet, options, [one.containers for one in facts.values()])
    if problems:
        raise DeployError("\n".join(problems))
    run = Making(
        state=state,
        recipe="create",
        options=options,
        facts=facts,
        plans={},
        fleet=fleet,
        templates=templates,
        asked=asked,
        shares=shares,
    )
    predictions = {host: run.foresee(one) for host, one in facts.items()}

    def checked(host: Host) -> Prediction:
        its = predictions[host]
        rules = rules_to_compile(its.fleet, its.options, its.facts.containers)
        return replace(its, facts=with_rules(host, its.facts, rules if its.drafts else ()))

    for host, prediction in ask(state, checked).items():
        run.plans[host] = run.plan_node(facts[host], prediction)
    return run


def _without_half_made(facts: NodeFacts) -> NodeFacts:
    """The node as it is once that has been taken away."""
    half, pct = half_made(facts), facts.containers
    left = {ctid: one for ctid, one in pct.containers.items() if ctid not in half}
    return replace(facts, containers=replace(pct, containers=left))
