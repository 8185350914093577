"""What a rollback needs to know: which run is undone, and what it left on every node."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_state

from deploys.survey import Run, ask, lock, read_options, show
from facts.apparmor import AppArmor
from facts.journal import KeptFiles, Runs
from facts.pct import Containers
from phoenix.fleet import Fleet
from phoenix.journal import last_run, new_run_id, run_lines
from phoenix.kept import Kept, ObservedRuns
from phoenix.observed import ObservedPct
from phoenix.options import Options
from phoenix.plan import NodePlan, set_apart
from phoenix.report import plan_lines
from phoenix.rollback import plan_rollback


@dataclass
class Undo(Run):
    """A run that undoes another; `undoes`: the id of that one, "" where there is nothing to do."""

    undoes: str = ""


_undos: WeakKeyDictionary[State, Undo] = WeakKeyDictionary()


def undo() -> Undo:
    """The rollback at hand, asked for once per pyinfra run. Raises DeployError, nothing else."""
    state = ctx_state.get()
    with lock:
        if state not in _undos:
            run = _undo(state)
            if run.problems:
                raise DeployError("\n".join(run.problems))
            _undos[state] = run
            state.print_output = True
        return _undos[state]


def _undo(state: State) -> Undo:
    options = read_options(state)
    runs = ask(state, lambda host: host.get_fact(Runs))
    undoes = "" if options.list else _chosen(options, runs)
    if not undoes:
        working = {run for seen in runs.values() for run, _ in seen.active}
        show(run_lines({host.name: seen.runs for host, seen in runs.items()}, working))
        return _run(state, options, {host: NodePlan(host.name) for host in runs})
    pct = ask(state, lambda host: host.get_fact(Containers))
    apparmor = ask(state, lambda host: host.get_fact(AppArmor))

    def kept(host: Host, seen: ObservedRuns) -> Kept:
        record = next((one for one in seen.runs if one.id == undoes), None)
        if record is None:
            return Kept()
        paths = (c.thing.path for c in record.changes if c.thing.ctid is None)
        return host.get_fact(KeptFiles, run=undoes, paths=tuple(sorted(set(paths))))

    def plan(host: Host, seen: ObservedRuns, observed: ObservedPct) -> NodePlan:
        return plan_rollback(undoes, options, seen.runs, kept(host, seen), observed, apparmor[host])

    def plan_again(host: Host, observed: ObservedPct) -> NodePlan:
        return plan(host, host.get_fact(Runs), observed)

    plans = ask(state, lambda host: plan(host, runs[host], pct[host]))
    for host, seen in runs.items():
        wanted = {
            change.thing.ctid
            for one in seen.runs
            if one.id == undoes
            for change in one.changes
            if change.thing.ctid and (not options.only or change.thing.ctid in options.only)
        }
        plans[host] = set_apart(plans[host], seen.unsettled, wanted)
    show([f"undoing run {undoes}"])
    show(line for one in plans.values() for line in plan_lines(one))
    run = _run(state, options, plans)
    run.undoes, run.plan_again = undoes, plan_again
    return run


def _chosen(options: Options, runs: dict[Host, ObservedRuns]) -> str:
    """The run to undo; "" where no node has any. Raises DeployError for one that no node has."""
    every = [one for seen in runs.values() for one in seen.runs]
    if options.run and options.run not in {one.id for one in every}:
        raise DeployError(
            f"--data run={options.run}: no node of this inventory has that run: "
            "--data list=true shows those that there are"
        )
    return options.run or last_run(every) or ""


def _run(state: State, options: Options, plans: dict[Host, NodePlan]) -> Undo:
    run_id = new_run_id(datetime.now(UTC), secrets.randbits(16))
    nothing = NodePlan("")
    return Undo(state, run_id, options, Fleet({}), {}, {}, plans, lambda *_: nothing)
