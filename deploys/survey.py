"""What the recipes share: the options, the fleet file and what the facts say of all nodes.

pyinfra runs a deploy file once per host, side by side. Some questions are about all of them
(is a CTID of `only=` anywhere?), so the first host to arrive asks every node, and the others
take the same answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from gevent.lock import RLock
from gevent.pool import Group
from pyinfra.api import DeployError, Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import OperationMeta
from pyinfra.api.output import echo
from pyinfra.context import ctx_host, ctx_state
from pyinfra.operations import python

from facts.apparmor import AppArmor, RawRules
from facts.audit import Denials
from facts.backups import Backups
from facts.docker import Dockers
from facts.journal import Runs
from facts.pct import Containers
from facts.storage import Storage
from facts.watch import Watch
from phoenix.apparmor import ObservedAppArmor
from phoenix.audit_report import NodeAudit, audit_data, audit_json, audit_page
from phoenix.backups import ObservedBackups, age_text, check_backups, check_snapshots
from phoenix.config import Fleet, FleetError, parse_fleet
from phoenix.denial_lines import denial_lines
from phoenix.denials import ObservedDenials, denial_starts, group_denials
from phoenix.docker import ObservedDocker
from phoenix.journal import new_run_id
from phoenix.observed import ObservedPct
from phoenix.options import Options, OptionsError, parse_options
from phoenix.plan import (
    ContainerChange,
    NodePlan,
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
from phoenix.report import (
    Finding,
    audit_lines,
    audit_node,
    node_lines,
    outcome,
    plan_lines,
    result_lines,
)
from phoenix.storage import ObservedStorage
from phoenix.watch import SCRIPT, SERVICE, TIMER, ObservedWatch, plan_watch, wanted_text
from phoenix.workarounds import workaround_lines

TEMPLATES = Path(__file__).parents[1] / "templates/apparmor"
NODE = Path(__file__).parents[1] / "templates/node"
WATCH = {SCRIPT: "watch.sh", SERVICE: "watch.service", TIMER: "watch.timer"}
PAGE = Path(__file__).parents[1] / "templates/report/audit.html.j2"

T = TypeVar("T")


@dataclass
class Run:
    """One run of pyinfra: what its nodes share.

    `steps`: the operations that may fail; `containers`: those of each node's container, by CTID.
    """

    state: State
    id: str
    options: Options
    fleet: Fleet
    pct: dict[Host, ObservedPct]
    apparmor: dict[Host, ObservedAppArmor]
    dockers: dict[Host, Mapping[int, ObservedDocker]]
    plans: dict[Host, NodePlan]
    plan_again: Callable[[Host, ObservedPct, Mapping[int, ObservedDocker]], NodePlan]
    steps: list[OperationMeta] = field(default_factory=list)
    containers: dict[tuple[Host, int], list[OperationMeta]] = field(default_factory=dict)

    @property
    def plan(self) -> NodePlan:
        """The plan of the node at hand."""
        return self.plans[ctx_host.get()]

    @property
    def problems(self) -> list[str]:
        """What stands against changing anything, over all nodes."""
        return [problem for plan in self.plans.values() for problem in plan.problems]

    @property
    def node_apparmor(self) -> ObservedAppArmor:
        """What the node at hand said of its AppArmor."""
        return self.apparmor[ctx_host.get()]

    @property
    def node_dockers(self) -> Mapping[int, ObservedDocker]:
        """What the guests of the node at hand said of their Docker."""
        return self.dockers[ctx_host.get()]

    def step(self, operation: Callable[..., OperationMeta], **arguments: object) -> None:
        """Add an operation that is left out, on every node, once one step has failed anywhere.

        Its failure does not drop the host (pyinfra would drop the result table with it);
        `verdict` turns it into the exit code.
        """
        step = operation(_ignore_errors=True, _if=self.is_going_well, **arguments)
        self.steps.append(step)
        if isinstance(ctid := arguments.get("ctid"), int):
            self.containers.setdefault((ctx_host.get(), ctid), []).append(step)

    def is_going_well(self) -> bool:
        """Whether no step that has run so far has failed, on any node."""
        return not any(step.is_complete() and step.did_error() for step in self.steps)

    def replan(self, ctid: int) -> ContainerChange | None:
        """Ask the node again and plan one container anew: somebody changed it meanwhile.

        None: there is nothing left to do for it.
        """
        host = ctx_host.get()
        pct = host.get_fact(Containers)
        asked = {*docker_ctids(self.fleet, self.options, pct)} & {ctid}
        dockers = _dockers(host, self.fleet, self.options, pct, tuple(asked))
        plan = self.plan_again(host, pct, dockers)
        show(f"{host.print_prefix}{note}" for note in plan.notes if note.startswith(f"CT {ctid} "))
        return next((change for change in plan.containers if change.ctid == ctid), None)

    def verdict(self) -> None:
        """Add the last operation of a node: it says what became of each container.

        And it makes the run's exit code tell the truth.
        """
        here = ctx_host.get()

        def tell() -> None:
            show(self._results(here))
            if not self.is_going_well():
                self.state.failed_hosts.add(here)

        python.call(name="Verdict", function=tell)

    def _results(self, host: Host) -> Iterable[str]:
        """The table of a node's containers; nothing where none was to change."""
        plan, confs = self.plans[host], self.pct[host].containers
        cut = [(one.ctid, confs[one.ctid].conf) for one in plan.unsettled if one.ctid in confs]
        names = {ctid: conf.hostname or "" for ctid, conf in cut}
        names |= {change.ctid: change.name for change in plan.containers}
        results = []
        for ctid, name in names.items():
            steps = self.containers.get((host, ctid), [])
            failed = [step for step in steps if step.is_complete() and step.did_error()]
            # the last one is its commit
            for step in (failed or steps)[-1:]:
                said = (ctid, step.stdout_lines, not failed) if step.executed else None
                results.append((ctid, name, outcome(*said) if said else "not begun"))
        return result_lines(plan.node, results) if results else ()


#: One host asks for all of them, the others wait for it.
lock = RLock()
_runs: WeakKeyDictionary[State, Run] = WeakKeyDictionary()
_audited: WeakSet[State] = WeakSet()


def survey(containers: bool = True) -> Run:
    """The run at hand, asked for once per pyinfra run. Raises DeployError, nothing else.

    Shows the plan, that of the containers only if they are the recipe's business.
    """
    state = ctx_state.get()
    with lock:
        if state not in _runs:
            run = _survey(state, _whom_to_ask if containers else _nobody)
            _plan_watch(run)
            ages = _check_fallbacks(run) if containers else {}
            if run.problems:
                raise DeployError("\n".join(run.problems))
            _runs[state] = run
            # what the gate checks is what an operator watches
            state.print_output = True
            for host, plan in run.plans.items():
                shown = plan if containers else replace(plan, containers=(), notes=())
                show(plan_lines(shown, ages.get(host)))
        return _runs[state]


def audit() -> None:
    """Show one table for all nodes, and with strict=true fail the nodes that have findings.

    What would stop a hardening run is shown and does not stop the audit; what was denied is shown
    and is no finding.
    """
    state = ctx_state.get()
    with lock:
        if state in _audited:
            return
        _audited.add(state)
        run = _runs[state] = _runs.get(state) or _survey(state, _everybody)
        findings: dict[Host, list[Finding]] = {
            host: audit_node(run.fleet, run.options, pct, run.dockers[host], run.plans[host])
            for host, pct in run.pct.items()
        }
        show(run.problems)
        show(line for plan in run.plans.values() for line in node_lines(plan))
        show(audit_lines([finding for found in findings.values() for finding in found]))
        denials = ask(state, lambda host: _denials(host, run))
        audits = [
            NodeAudit(
                pct,
                run.plans[host],
                findings[host],
                denials[host],
                group_denials(denials[host], pct.containers, run.options),
            )
            for host, pct in run.pct.items()
        ]
        for host, one in zip(run.pct, audits, strict=True):
            containers, wanted = one.pct.containers, run.fleet.containers
            holds = {ctid: docker.holds for ctid, docker in run.dockers[host].items()}
            show(workaround_lines(one.pct.node, containers, wanted, run.options.only, holds))
            show(denial_lines(one.pct.node, one.seen, one.denials, run.options))
        if run.options.report:
            _write_report(Path(run.options.report), audits, run)
        if run.options.strict:
            state.failed_hosts |= {
                host
                for host, found in findings.items()
                if run.plans[host].tunables
                or run.plans[host].hook
                or run.plans[host].problems
                or not all(f.ok for f in found)
            }


def read_options(state: State) -> Options:
    """What the operator gave, once every node is in reach. Raises DeployError."""
    if state.failed_hosts:
        names = ", ".join(sorted(host.name for host in state.failed_hosts))
        raise DeployError(
            f"cannot reach {names}: nothing was changed; "
            "bring it up, or leave it out with pyinfra's --exclude NODE"
        )
    try:
        return parse_options(state.inventory.override_data)
    except OptionsError as error:
        raise DeployError(str(error)) from None


WhomToAsk = Callable[[Fleet, Options, ObservedPct], Sequence[int]]


def _survey(state: State, whom: WhomToAsk) -> Run:
    """Ask all nodes, and in the guests of `whom` for their Docker."""
    options = read_options(state)
    if options.run or options.list:
        raise DeployError("--data run and list belong to deploys/rollback.py")
    templates = _read_templates(options.profiles)
    fleet = _read_fleet(Path(options.fleet), profile_names(templates))
    pct = ask(state, lambda host: host.get_fact(Containers))
    problems = check_selection(fleet, options, list(pct.values()))
    if problems:
        raise DeployError("\n".join(problems))
    if note := absent_note(fleet, options, pct.values()):
        show([note])
    warnings = [*fleet.warnings, *(w for one in fleet.containers.values() for w in one.warnings)]
    if warnings:
        show([f"{len(warnings)} warnings about it: phoenix check {options.fleet} shows them"])
    files = {host: tuple(profile_files(fleet, options, pct[host])) for host in pct}
    apparmor = ask(state, lambda host: host.get_fact(AppArmor, files=files[host]))
    storage = ask(state, lambda host: _storage(host, storage_paths(fleet, options, pct[host])))
    asked = {host: tuple(whom(fleet, options, pct[host])) for host in pct}
    dockers = ask(state, lambda host: _dockers(host, fleet, options, pct[host], asked[host]))

    raw = {host: rules_to_compile(fleet, options, pct[host]) for host in pct}
    rules = ask(state, lambda host: _rules(host, raw[host], apparmor[host]))
    runs = ask(state, lambda host: host.get_fact(Runs, unfinished=True))

    def plan(host: Host, pct: ObservedPct, dockers: Mapping[int, ObservedDocker]) -> NodePlan:
        seen = (pct, apparmor[host], storage[host], templates, rules[host], dockers)
        return plan_node(fleet, options, *seen)

    plans = {}
    for host, observed in pct.items():
        wanted = [container.ctid for container in selected(fleet, options, observed)]
        planned = plan(host, observed, dockers[host])
        plans[host] = set_apart(planned, runs[host].unsettled, wanted)
    run_id = new_run_id(datetime.now(UTC), secrets.randbits(16))
    return Run(state, run_id, options, fleet, pct, apparmor, dockers, plans, plan)


def _whom_to_ask(fleet: Fleet, options: Options, node: ObservedPct) -> Sequence[int]:
    return docker_ctids(fleet, options, node)


def _nobody(fleet: Fleet, options: Options, node: ObservedPct) -> Sequence[int]:
    return ()


def _everybody(fleet: Fleet, options: Options, node: ObservedPct) -> Sequence[int]:
    return [
        ct.ctid
        for ct in node.containers.values()
        if ct.pid and (not options.only or ct.ctid in options.only)
    ]


def _dockers(
    host: Host, fleet: Fleet, options: Options, pct: ObservedPct, ctids: tuple[int, ...]
) -> Mapping[int, ObservedDocker]:
    """No command where nobody is to be asked; an overlay is tried where the file says auto."""
    if not ctids:
        return {}
    auto = tuple(
        one.ctid
        for one in selected(fleet, options, pct)
        if one.docker and one.storage_driver == "auto"
    )
    return host.get_fact(Dockers, ctids=ctids, probe=auto)


def _plan_watch(run: Run) -> None:
    """Add what changes of the watch to the plans; no command unless `watch` is given."""
    asked = run.options.watch

    def observed(host: Host) -> ObservedWatch:
        return ObservedWatch() if asked is None else host.get_fact(Watch)

    texts = {path: (NODE / name).read_text() for path, name in WATCH.items()}
    for host, found in ask(run.state, observed).items():
        wanted = wanted_text(run.fleet, run.options, run.pct[host])
        change = plan_watch(asked, wanted, run.pct[host], found, texts)
        run.plans[host] = replace(run.plans[host], watch=change)


def _check_fallbacks(run: Run) -> dict[Host, dict[int, str]]:
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


def _write_report(folder: Path, audits: list[NodeAudit], run: Run) -> None:
    now = datetime.now(UTC)
    data = audit_data(audits, run.fleet.containers, run.options.fleet, now)
    page = audit_page(data, PAGE.read_text())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "audit.json").write_text(audit_json(data))
        (folder / "audit.html").write_text(page, "utf-8", "backslashreplace")
    except OSError as error:
        raise DeployError(f"cannot write --data report={folder}: {error.strerror}") from None
    show([f"written: {folder / 'audit.json'}, {folder / 'audit.html'}"])


def _rules(
    host: Host, rules: tuple[tuple[int, str], ...], apparmor: ObservedAppArmor
) -> ObservedRules:
    """No command where no rule is new."""
    if not rules or apparmor.problem:
        return ObservedRules()
    if apparmor.tunables_error:
        return ObservedRules(unchecked="with broken tunables nothing compiles")
    return host.get_fact(RawRules, rules=rules)


def _denials(host: Host, run: Run) -> ObservedDenials:
    """No command where no container runs and no time is given."""
    since = run.options.since
    starts = denial_starts(run.pct[host].containers.values(), run.options.only)
    if since is None and not starts:
        return ObservedDenials()
    return host.get_fact(Denials, since=tuple(starts) if since is None else (since,))


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


def ask(state: State, question: Callable[[Host], T]) -> dict[Host, T]:
    """Ask all nodes side by side, outside pyinfra's own pool: its greenlets wait for us."""

    def answer(host: Host) -> T | None:
        with ctx_state.use(state), ctx_host.use(host), suppress(PyinfraError):
            return question(host)
        return None  # no host is left: that is said below, for all of them

    hosts = sorted(state.inventory.get_active_hosts(), key=lambda host: host.name)
    answers = dict(zip(hosts, Group().map(answer, hosts), strict=True))
    if state.failed_hosts:
        names = ", ".join(sorted(host.name for host in state.failed_hosts))
        raise DeployError(f"{names} did not answer as a Proxmox VE node does; nothing was changed")
    return cast(dict[Host, T], answers)


def show(lines: Iterable[str]) -> None:
    """Tell the operator; stdout is for `--json`."""
    for line in lines:
        echo(line, err=True)
