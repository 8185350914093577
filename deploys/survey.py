"""What harden, host_prep and audit need to know: the fleet file, and what the facts say.

The first host to arrive asks for all (see `deploys.run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakKeyDictionary

from pyinfra.api import DeployError, Host, State
from pyinfra.context import ctx_host, ctx_state

from deploys.run import Run, ask, lock, read_options, show
from facts.apparmor import AppArmor, RawRules
from facts.backups import Backups
from facts.docker import Dockers
from facts.journal import Runs
from facts.pct import Containers
from facts.storage import Storage
from facts.watch import Watch
from phoenix.apparmor import ObservedAppArmor
from phoenix.backups import ObservedBackups, age_text, check_backups, check_snapshots
from phoenix.changes import NodePlan
from phoenix.config import Fleet, FleetError, parse_fleet
from phoenix.docker import ObservedDocker
from phoenix.observed import ObservedPct
from phoenix.options import Options
from phoenix.plan import (
    absent_note,
    check_selection,
    docker_ctids,
    plan_node,
    profile_files,
    rules_to_compile,
    selected,
    set_apart,
    storage_paths,
)
from phoenix.profile_plan import HOOK_TEMPLATE
from phoenix.raw_rules import ObservedRules
from phoenix.render import profile_names
from phoenix.report import plan_lines
from phoenix.storage import ObservedStorage
from phoenix.watch import SCRIPT, SERVICE, TIMER, ObservedWatch, plan_watch, wanted_text

TEMPLATES = Path(__file__).parents[1] / "templates/apparmor"
NODE = Path(__file__).parents[1] / "templates/node"
WATCH = {SCRIPT: "watch.sh", SERVICE: "watch.service", TIMER: "watch.timer"}


@dataclass(kw_only=True)
class Survey(Run):
    """A run that compares the nodes with the fleet file; `templates`: file name to text."""

    fleet: Fleet
    templates: Mapping[str, str]
    apparmor: Mapping[Host, ObservedAppArmor]
    storage: Mapping[Host, ObservedStorage]
    rules: Mapping[Host, ObservedRules]
    dockers: Mapping[Host, Mapping[int, ObservedDocker]]

    @property
    def node_apparmor(self) -> ObservedAppArmor:
        """What the node at hand said of its AppArmor."""
        return self.apparmor[ctx_host.get()]

    @property
    def node_dockers(self) -> Mapping[int, ObservedDocker]:
        """What the guests of the node at hand said of their Docker."""
        return self.dockers[ctx_host.get()]

    def plan_again(self, host: Host, options: Options) -> NodePlan:
        """Ask for the containers and their Docker; the rest is as it was."""
        pct = host.get_fact(Containers)
        asked = docker_ctids(self.fleet, options, pct)
        return self.compare(options, host, pct, _dockers(host, self.fleet, options, pct, asked))

    def compare(
        self,
        options: Options,
        host: Host,
        pct: ObservedPct,
        dockers: Mapping[int, ObservedDocker],
    ) -> NodePlan:
        """The plan of a node whose containers are as given."""
        return plan_node(
            self.fleet,
            options,
            pct,
            self.apparmor[host],
            self.storage[host],
            self.templates,
            self.rules[host],
            dockers,
        )


_surveys: WeakKeyDictionary[State, Survey] = WeakKeyDictionary()


def survey(containers: bool = True) -> Survey:
    """The run at hand, asked for once per pyinfra run. Raises DeployError, nothing else.

    Shows the plan, that of the containers only if they are the recipe's business.
    """
    state = ctx_state.get()
    with lock:
        if state not in _surveys:
            run = look(state, docker_ctids if containers else _nobody)
            _plan_watch(run)
            ages = _check_fallbacks(run) if containers else {}
            if run.problems:
                raise DeployError("\n".join(run.problems))
            if not containers:
                for host, plan in run.plans.items():
                    run.plans[host] = replace(plan, containers=(), unsettled=(), notes=())
            _surveys[state] = run
            # what the gate checks is what an operator watches
            state.print_output = True
            for host, plan in run.plans.items():
                show(plan_lines(plan, ages.get(host)))
        return _surveys[state]


def look(state: State, whom: Callable[[Fleet, Options, ObservedPct], Sequence[int]]) -> Survey:
    """Ask all nodes, and in the guests of `whom` for their Docker. Raises DeployError."""
    options = read_options(state)
    if options.run or options.list:
        raise DeployError("--data run and list belong to deploys/rollback.py")
    templates = _read_templates(options.profiles)
    fleet = _read_fleet(Path(options.fleet), profile_names(templates))
    pct = ask(state, lambda host: host.get_fact(Containers))
    if problems := check_selection(fleet, options, list(pct.values())):
        raise DeployError("\n".join(problems))
    if note := absent_note(fleet, options, pct.values()):
        show([note])
    warnings = [*fleet.warnings, *(w for one in fleet.containers.values() for w in one.warnings)]
    if warnings:
        show([f"{len(warnings)} warnings about it: phoenix check {options.fleet} shows them"])
    files = {host: tuple(profile_files(fleet, options, pct[host])) for host in pct}
    apparmor = ask(state, lambda host: host.get_fact(AppArmor, files=files[host]))
    storage = ask(state, lambda host: _storage(host, storage_paths(fleet, options, pct[host])))
    asked = {host: whom(fleet, options, pct[host]) for host in pct}
    dockers = ask(state, lambda host: _dockers(host, fleet, options, pct[host], asked[host]))
    raw = {host: rules_to_compile(fleet, options, pct[host]) for host in pct}
    rules = ask(state, lambda host: _rules(host, raw[host], apparmor[host]))
    runs = ask(state, lambda host: host.get_fact(Runs, unfinished=True))
    run = Survey(
        state=state,
        options=options,
        pct=pct,
        plans={},
        fleet=fleet,
        templates=templates,
        apparmor=apparmor,
        storage=storage,
        rules=rules,
        dockers=dockers,
    )
    for host, observed in pct.items():
        wanted = [container.ctid for container in selected(fleet, options, observed)]
        planned = run.compare(options, host, observed, dockers[host])
        run.plans[host] = set_apart(planned, runs[host].unsettled, wanted)
    return run


def _nobody(fleet: Fleet, options: Options, node: ObservedPct) -> Sequence[int]:
    return ()


def _dockers(
    host: Host, fleet: Fleet, options: Options, pct: ObservedPct, ctids: Sequence[int]
) -> Mapping[int, ObservedDocker]:
    """No command where nobody is to be asked; an overlay is tried where the file says auto."""
    if not ctids:
        return {}
    auto = tuple(
        one.ctid
        for one in selected(fleet, options, pct)
        if one.docker and one.storage_driver == "auto"
    )
    return host.get_fact(Dockers, ctids=tuple(ctids), probe=auto)


def _plan_watch(run: Survey) -> None:
    """Add what changes of the watch to the plans; no command unless `watch` is given."""
    asked = run.options.watch

    def observed(host: Host) -> ObservedWatch:
        return ObservedWatch() if asked is None else host.get_fact(Watch)

    texts = {path: (NODE / name).read_text() for path, name in WATCH.items()}
    for host, found in ask(run.state, observed).items():
        wanted = wanted_text(run.fleet, run.options, run.pct[host])
        change = plan_watch(asked, wanted, run.pct[host], found, texts)
        run.plans[host] = replace(run.plans[host], watch=change)


def _check_fallbacks(run: Survey) -> dict[Host, dict[int, str]]:
    """Hold the plans against `require_backup` and `snapshot`; no command where neither is given.

    Gives how old each container's newest backup is, if that was asked.
    """
    hours, snapshot = run.options.require_backup, run.options.snapshot
    if hours is None and not snapshot:
        return {}

    def backups(host: Host) -> ObservedBackups:
        if not run.plans[host].containers:
            return ObservedBackups()
        return host.get_fact(Backups, backups=hours is not None)

    ages = {}
    for host, found in ask(run.state, backups).items():
        plan = run.plans[host]
        problems = [*plan.problems]
        if hours is not None:
            ages[host] = {one.ctid: age_text(found.age(one.ctid)) for one in plan.containers}
            problems += check_backups(plan, found, hours)
        if snapshot:
            problems += check_snapshots(plan, found)
        run.plans[host] = replace(plan, problems=tuple(problems))
    return ages


def _storage(host: Host, paths: list[str]) -> ObservedStorage:
    """No command where no container wants a path of the node."""
    if not paths:
        return ObservedStorage()
    return host.get_fact(Storage, paths=tuple(paths))


def _rules(
    host: Host, rules: tuple[tuple[int, str], ...], apparmor: ObservedAppArmor
) -> ObservedRules:
    """No command where no rule is new."""
    if not rules or apparmor.problem:
        return ObservedRules()
    if apparmor.tunables_error:
        return ObservedRules(unchecked="with broken tunables nothing compiles")
    return host.get_fact(RawRules, rules=rules)


def _read_templates(own: str | None) -> dict[str, str]:
    """Our templates and the operator's own, which may extend `base.j2` or stand for themselves."""
    folders = [TEMPLATES]
    if own:
        folders.append(Path(own))
        if not profile_names([path.name for path in folders[-1].glob("*.j2")]):
            raise DeployError(f"--data profiles={own}: no template in it: write {own}/lxc-NAME.j2")
    files = [path for folder in folders for path in folder.glob("*.j2")]
    return {path.name: path.read_text() for path in (*files, NODE / HOOK_TEMPLATE)}


def _read_fleet(path: Path, templates: Iterable[str]) -> Fleet:
    try:
        return parse_fleet(path.read_bytes(), list(templates))
    except OSError as error:
        raise DeployError(
            f"cannot read the fleet file {path}: {error.strerror}: name it with --data fleet=PATH"
        ) from None
    except FleetError as error:
        lines = "\n".join(f"{path}: {problem}" for problem in error.problems)
        raise DeployError(lines) from None
