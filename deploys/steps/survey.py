"""What harden, host_prep and audit need to know: the fleet file, and what the nodes say.

The first host to arrive asks for all (see `deploys.steps.asking`): one command per node, and
a second one where the node's parser shall compile new rules, or backups are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_host, ctx_state
from typing_extensions import override

from deploys.steps.asking import ask, lock, observe, read_options
from deploys.steps.run import Run
from deploys.steps.screen import show, show_steps
from node.pack import watch_script
from operations.diff import tells_all
from phoenix.apparmor.generated_rules import ObservedRules
from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.cli.overlays import overlays_beside
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.parse import Fleet, FleetError, parse_fleet
from phoenix.plan.actions import NodePlan, WatchChange
from phoenix.plan.apart import hold_apart, hold_recoveries
from phoenix.plan.etc_pve import check_etc_pve
from phoenix.plan.facts import NodeFacts
from phoenix.plan.fallbacks import check_backups, check_snapshots
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.node import (
    absent_note,
    check_selection,
    cut_and_away,
    known_data_roots,
    plan_node,
    rules_to_compile,
    selected,
    set_apart,
    unreadable_runs,
    without_containers,
)
from phoenix.plan.options import Options, Recipe
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.plan.questions import Request, asked_again, asked_by_harden
from phoenix.plan.reach import missed_nodes
from phoenix.plan.render import profile_names
from phoenix.plan.turns import Turn, in_turn, partners, turns
from phoenix.plan.watch import plan_watch, wanted_text
from phoenix.pve.observed import ObservedPct
from phoenix.report.groups import few
from phoenix.report.terminal import plan_lines
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER

TEMPLATES = Path(__file__).parents[2] / "templates/apparmor"
NODE = Path(__file__).parents[2] / "templates/node"
WATCH = {SERVICE: "watch.service", TIMER: "watch.timer"}


@dataclass(kw_only=True)
class Survey(Run):
    """A run that compares the nodes with the fleet file; `templates`: file name to text."""

    fleet: Fleet
    templates: Mapping[str, str]

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Whose turn it is, of the containers of all nodes."""
        return turns(self.changed, self.options.rolling, self.fleet)

    @property
    def node_apparmor(self) -> ObservedAppArmor:
        """What the node at hand said of its AppArmor."""
        return self.facts[ctx_host.get()].apparmor

    @property
    def node_dockers(self) -> Mapping[int, ObservedDocker]:
        """What the guests of the node at hand said of their Docker."""
        return self.facts[ctx_host.get()].dockers

    @property
    def is_watched(self) -> bool:
        """Whether the node at hand has a watch."""
        return self.facts[ctx_host.get()].containers.wanted is not None

    @override
    def as_wanted(self, host: Host) -> int:
        there = self.facts[host].containers
        chosen = {one.ctid for one in selected(self.fleet, self.options, there)}
        plan = self.plans[host]
        cut = {one.ctid for one in plan.interrupted}
        return len(chosen - {*plan.touched} - {*plan.alone} - cut) if self.recipe == "harden" else 0

    def ask_again(self, host: Host, options: Options) -> NodeFacts:
        """Ask for the containers and their Docker; the rest is as it was."""
        return observe(host, asked_again(self.fleet, options), self.facts[host])

    def plan_again(self, host: Host, options: Options, facts: NodeFacts) -> NodePlan:
        """Compare that with the fleet file; none of those in question may be gone."""
        plan = self.hold_apart(self.compare(options, facts))
        gone = (one for one in options.only if one not in facts.containers.containers)
        lost = (
            Finding(Code.GONE, Severity.ERROR, "its conf is gone: was it destroyed?", one)
            for one in gone
        )
        return replace(plan, findings=(*plan.findings, *lost))

    def hold_apart(self, plan: NodePlan) -> NodePlan:
        """A node's plan without those that must not be down now."""
        return hold_apart(plan, self.fleet, self.options, self.everything)

    @property
    def everything(self) -> Mapping[str, ObservedPct]:
        """What is known of all nodes' containers, by their names."""
        return {host.name: one.containers for host, one in self.facts.items()}

    def compare(self, options: Options, facts: NodeFacts) -> NodePlan:
        """The plan of a node."""
        pct = facts.containers
        # of its own cluster: others may have the same CTIDs
        data_roots = {
            ctid: root
            for one in self.facts.values()
            for ctid, root in known_data_roots(one.dockers).items()
            if pct.elsewhere.get(ctid) == one.containers.node
        }
        return plan_node(
            fleet=self.fleet,
            options=options,
            facts=facts,
            templates=self.templates,
            data_roots=data_roots,
        )


_surveys: WeakKeyDictionary[State, Survey] = WeakKeyDictionary()


def survey(containers: bool = True) -> Survey:
    """The run at hand, asked for once per pyinfra run. Raises DeployError, nothing else.

    Shows the plan, that of the containers only if they are the recipe's business.
    """
    state = ctx_state.get()
    with lock:
        if state not in _surveys:
            recipe: Recipe = "harden" if containers else "host_prep"
            run = look(
                state,
                recipe,
                lambda fleet, options: asked_by_harden(fleet, options, guests=containers),
            )
            ages = _check_fallbacks(run) if containers else {}
            run.write_plan(recipe)
            run.check()
            _surveys[state] = run
            show_steps(state)
            for host, plan in run.plans.items():
                show(plan_lines(plan, ages.get(host), tells_all(state), run.options.snapshot))
        return _surveys[state]


def look(state: State, recipe: Recipe, request: Callable[[Fleet, Options], Request]) -> Survey:
    """Ask all nodes and plan what they differ in. Raises DeployError."""
    options, fleet, templates = read_input(state, recipe)
    asked = request(fleet, options)
    facts = ask(state, lambda host: observe(host, asked))
    missed = missed_nodes(fleet, [one.containers for one in facts.values()])
    facts = ask(
        state,
        lambda host: observe(host, asked) if facts[host].containers.node in missed else facts[host],
    )
    _check(fleet, options, [one.containers for one in facts.values()])
    facts = ask(
        state,
        lambda host: with_rules(
            host, facts[host], rules_to_compile(fleet, options, facts[host].containers)
        ),
    )
    run = Survey(
        state=state,
        recipe=recipe,
        options=options,
        facts=facts,
        plans={},
        fleet=fleet,
        templates=templates,
    )
    for host, one in facts.items():
        run.plans[host] = _plan(run, one, recipe)
    _order(run)
    return run


def _order(run: Survey) -> None:
    """Have each plan in the order that holds for all nodes."""
    everywhere = {ctid for one in run.facts.values() for ctid in one.containers.containers}
    for host, plan in run.plans.items():
        its = {change.ctid: change for change in plan.containers}
        ordered = tuple(its[ctid] for ctid in in_turn(its, run.fleet, everywhere))
        run.plans[host] = replace(plan, containers=ordered)


def read_input(state: State, recipe: Recipe) -> tuple[Options, Fleet, dict[str, str]]:
    """What the operator gave: options, fleet file, templates. Raises DeployError."""
    options = read_options(state, recipe)
    templates = read_templates(options.profiles)
    return options, read_fleet(Path(options.fleet), profile_names(templates)), templates


def _check(fleet: Fleet, options: Options, nodes: list[ObservedPct]) -> None:
    """Say what of the fleet file concerns no node, and that it has warnings. Raises DeployError."""
    if problems := check_selection(fleet, options, nodes):
        raise DeployError("\n".join(problems))
    if note := absent_note(fleet, options, nodes):
        show([note])
    tell_warnings(fleet, options)


def tell_warnings(fleet: Fleet, options: Options) -> None:
    """Say that the fleet file has warnings."""
    warnings = [*fleet.warnings, *(w for one in fleet.containers.values() for w in one.warnings)]
    if warnings:
        show([f"{len(warnings)} warnings about it: phoenix check {options.fleet} shows them"])


def _plan(run: Survey, facts: NodeFacts, recipe: Recipe) -> NodePlan:
    """The plan of a node: its containers, what is unreadable or interrupted there, its watch.

    Where the recipe is not about containers they stay out of it.
    """
    confs = recipe != "host_prep"
    planned = run.compare(run.options, facts)
    if confs:
        planned = run.hold_apart(planned)
    # a commit may have been cut short in a run whose journal cannot be read
    findings = (*planned.findings, *unreadable_runs(facts.runs.problems))
    pct = facts.containers
    chosen = [container.ctid for container in selected(run.fleet, run.options, pct)]
    # what was cut short here is closed here, also of one that has moved since
    known = run.fleet.containers
    chosen += [one for one in pct.elsewhere if one in known and run.options.takes(known[one])]
    plan = set_apart(replace(planned, findings=findings), facts.runs.interrupted, chosen)
    if recipe == "harden":
        plan = hold_recoveries(plan, partners(run.fleet), pct, run.everything)
    plan = replace(plan, findings=(*plan.findings, *check_etc_pve(plan, facts.etc_pve)))
    if run.recipe == "audit":
        plan = replace(plan, findings=(*plan.findings, *cut_and_away(plan, pct)))
    if not confs:
        plan = without_containers(plan)
    wanted = wanted_text(run.fleet, run.options, facts, plan, confs)
    return replace(plan, watch=watch_change(run.options, wanted, facts))


def watch_change(options: Options, wanted: str, facts: NodeFacts) -> WatchChange | None:
    """What becomes of a node's watch, with our files as they are now."""
    texts = {path: (NODE / name).read_text() for path, name in WATCH.items()}
    texts[SCRIPT] = watch_script()
    return plan_watch(options.watch, wanted, facts.containers, facts.watch, texts)


def _check_fallbacks(run: Survey) -> dict[Host, dict[int, str]]:
    """Hold the plans against `require_backup` and `snapshot`; no command where neither is given.

    Gives how old each container's newest backup is, if that was asked.
    """
    required, snapshot = run.options.require_backup, run.options.snapshot
    if required is None and not snapshot:
        return {}

    def backups(host: Host) -> NodeFacts:
        if not run.plans[host].touched:
            return run.facts[host]
        return observe(host, {"backups": {"listed": required is not None}}, run.facts[host])

    ages = {}
    for host, facts in ask(run.state, backups).items():
        plan, found = run.plans[host], facts.backups
        findings = [*plan.findings]
        if required is not None:
            verified = required.verified
            ages[host] = {one.ctid: found.text(one.ctid, verified) for one in plan.touched.values()}
            findings += check_backups(plan, found, required)
        if snapshot:
            findings += check_snapshots(plan, found)
        run.plans[host] = replace(plan, findings=tuple(findings))
    return ages


def with_rules(host: Host, facts: NodeFacts, rules: tuple[tuple[int, str], ...]) -> NodeFacts:
    """What the node's parser says of rules that no conf has yet; no command where there is none."""
    if not rules or facts.apparmor.problem:
        return facts
    if facts.apparmor.tunables_error:
        unchecked = ObservedRules(unchecked="with broken tunables nothing compiles")
        return replace(facts, rules=unchecked)
    return observe(host, {"rules": {"rules": rules}}, facts)


def read_templates(own: str | None) -> dict[str, str]:
    """Our templates and the operator's own, which may extend `base.j2` or stand for themselves."""
    folders = [TEMPLATES]
    if own:
        folders.append(Path(own))
        if not profile_names([path.name for path in folders[-1].glob("*.j2")]):
            raise DeployError(f"--data profiles={own}: no template in it: write {own}/lxc-NAME.j2")
    files = [path for folder in folders for path in folder.glob("*.j2")]
    return {path.name: path.read_text("utf-8-sig") for path in (*files, NODE / HOOK_TEMPLATE)}


def read_fleet(path: Path, templates: Iterable[str]) -> Fleet:
    """The fleet file; `templates`: their names. Raises DeployError."""
    try:
        return parse_fleet(path.read_bytes(), list(templates), overlays_beside(path))
    except OSError as error:
        raise DeployError(
            f"cannot read the fleet file {path}: {error.strerror}: name it with --data fleet=PATH"
        ) from None
    except FleetError as error:
        lines = [f"{path}: {problem}" for problem in error.problems]
        told = few(lines, f"more: phoenix check {path} shows all of them")
        raise DeployError("\n".join(told)) from None
