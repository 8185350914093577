"""What a rollback needs to know: which run is undone, and what it left on every node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_state

from deploys.run import Run, ask, lock, read_options, show
from facts.apparmor import AppArmor
from facts.docker import Dockers
from facts.journal import KeptFiles, Runs
from facts.pct import Containers
from phoenix.changes import NodePlan
from phoenix.journal import DAEMON_JSON, Change, last_run, run_lines
from phoenix.kept import Kept, ObservedRuns
from phoenix.options import Options
from phoenix.plan import set_apart
from phoenix.report import plan_lines
from phoenix.rollback import Node, plan_rollback


@dataclass(kw_only=True)
class Undo(Run):
    """A run that undoes another; `undoes`: the id of that one, "" where there is nothing to do."""

    undoes: str

    def plan_again(self, host: Host, options: Options) -> NodePlan:
        """Ask for everything: what was settled in between has changed the journals."""
        node = _look(host, self.undoes, host.get_fact(Runs))
        return plan_rollback(self.undoes, options, node)


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
        nothing = {host: NodePlan(host.name) for host in runs}
        return Undo(state=state, options=options, pct={}, plans=nothing, undoes="")
    nodes = ask(state, lambda host: _look(host, undoes, runs[host]))
    plans = {}
    for host, seen in runs.items():
        wanted = {one.thing.ctid for one in _changes(seen, undoes) if one.thing.ctid}
        mine = wanted & {*options.only} if options.only else wanted
        plans[host] = set_apart(plan_rollback(undoes, options, nodes[host]), seen.unsettled, mine)
    show([f"undoing run {undoes}"])
    show(line for plan in plans.values() for line in plan_lines(plan))
    pct = {host: node.pct for host, node in nodes.items()}
    return Undo(state=state, options=options, pct=pct, plans=plans, undoes=undoes)


def _look(host: Host, run: str, runs: ObservedRuns) -> Node:
    """What a node knows of that run, and how everything that it changed is now."""
    changes = _changes(runs, run)
    pct = host.get_fact(Containers)
    paths = {one.thing.path for one in changes if one.thing.ctid is None}
    guests = {one.thing.ctid for one in changes if one.thing.path in ("", DAEMON_JSON)}
    ctids = tuple(ct.ctid for ct in pct.containers.values() if ct.pid and ct.ctid in guests)
    return Node(
        runs.runs,
        host.get_fact(KeptFiles, run=run, paths=tuple(sorted(paths))) if changes else Kept(),
        pct,
        host.get_fact(AppArmor),
        host.get_fact(Dockers, ctids=ctids) if ctids else {},
    )


def _changes(seen: ObservedRuns, run: str) -> tuple[Change, ...]:
    return next((one.changes for one in seen.runs if one.id == run), ())


def _chosen(options: Options, runs: Mapping[Host, ObservedRuns]) -> str:
    """The run to undo; "" where no node has any. Raises DeployError for one that no node has."""
    every = [one for seen in runs.values() for one in seen.runs]
    if options.run and options.run not in {one.id for one in every}:
        raise DeployError(
            f"--data run={options.run}: no node of this inventory has that run: "
            "--data list=true shows those that there are"
        )
    return options.run or last_run(every) or ""
