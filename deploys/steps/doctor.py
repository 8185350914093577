"""A first look at all nodes: each by itself, then the one command to type next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

from pyinfra.api import DeployError, Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_state

from deploys.steps.asking import ask, lock, observe, read_options
from deploys.steps.screen import show, write
from deploys.steps.survey import read_fleet, read_templates, tell_warnings, with_rules
from facts.login import ask_login
from operations.diff import tells_all
from phoenix.cli.nodes import CLUSTER, NODES
from phoenix.fleet.parse import Fleet
from phoenix.plan.doctor import NodeLook, fleet_text, look_at, look_silent, look_without
from phoenix.plan.doctor_next import next_command, shared_ids
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import check_present, check_selection, rules_to_compile
from phoenix.plan.options import Options
from phoenix.plan.questions import asked_by_doctor
from phoenix.plan.render import profile_names
from phoenix.pve.login import ObservedLogin
from phoenix.report.doctor import doctor_data, doctor_json, doctor_lines, next_lines

#: Nothing is asked about any container by name.
_NO_FLEET = Fleet({})

_looked: WeakSet[State] = WeakSet()


def doctor() -> None:
    """Look at all nodes side by side, and fail those on which nothing can be done.

    Raises DeployError.
    """
    state = ctx_state.get()
    with lock:
        if state in _looked:
            return
        _looked.add(state)
        options = read_options(state, "doctor")
        templates = read_templates(options.profiles)
        fleet = None
        if "fleet" in options.model_fields_set:
            fleet = read_fleet(Path(options.fleet), profile_names(templates))
            tell_warnings(fleet, options)
        _check_target(options)
        asked = ask(state, lambda host: _ask(host, options, fleet))
        _check_selection(options, fleet, [facts for _, facts in asked.values() if facts])
        looks = {
            host: look_without(host.name, login)
            or (
                look_at(login=login, facts=facts, options=options, templates=templates, fleet=fleet)
                if facts
                else look_silent(host.name, login)
            )
            for host, (login, facts) in asked.items()
        }
        show(doctor_lines([*looks.values()], tells_all(state)))
        _write(options, fleet, [*looks.values()])
        state.failed_hosts |= {host for host, look in looks.items() if look.broken or look.stops}


def _ask(
    host: Host, options: Options, fleet: Fleet | None
) -> tuple[ObservedLogin, NodeFacts | None]:
    """Who one is there, and the rest if the node's program can be sent and answers."""
    login = ask_login(host)
    if look_without(host.name, login):
        return login, None
    try:
        facts = observe(host, asked_by_doctor(fleet or _NO_FLEET, options))
        if fleet:
            facts = with_rules(host, facts, rules_to_compile(fleet, options, facts.containers))
    except PyinfraError:
        # the others are told all the same; this one fails by what is told of it
        host.state.failed_hosts.discard(host)
        return login, None
    return login, facts


def _check_target(options: Options) -> None:
    """Have nothing asked in vain. Raises DeployError."""
    if options.write and "fleet" in options.model_fields_set:
        raise DeployError("--data write: a fleet file is there, fleet=: leave one of them out")
    # where it cannot be looked for, that is said as it is written
    if options.write and os.path.lexists(options.write):
        raise DeployError(f"--data write={options.write}: is there already: name another file")


def _check_selection(options: Options, fleet: Fleet | None, found: Sequence[NodeFacts]) -> None:
    """Raise DeployError for a CTID of `only=` that means nothing."""
    nodes = [facts.containers for facts in found]
    problems = check_selection(fleet, options, nodes) if fleet else check_present(options, nodes)
    if problems:
        raise DeployError("\n".join(problems))


def _write(options: Options, fleet: Fleet | None, looks: Sequence[NodeLook]) -> None:
    """Write what was asked for, and end with what to type next. Raises DeployError."""
    if options.write:
        if twice := shared_ids(looks):
            ids = ", ".join(f"{ctid} ({' and '.join(on)})" for ctid, on in twice.items())
            text = f"--data write: one fleet file cannot name two containers of one id: {ids}"
            raise DeployError(f"{text}: look at one node at a time")
        entries = {ctid: entry for look in looks for ctid, entry in look.entries.items()}
        if entries:
            write(Path(options.write), fleet_text(entries), "write")
        else:
            show([f"--data write={options.write}: not written: no container is ready"])
    step = next_command(looks, options, _nodes())
    if options.report:
        data = doctor_data(looks, step, options.fleet if fleet else "", datetime.now(UTC))
        write(Path(options.report) / "doctor.json", doctor_json(data), "report")
    show(next_lines(step))


def _nodes() -> str:
    """The words that name the same nodes on the command line of `phoenix`."""
    named, cluster = (os.environ.get(one, "").strip() for one in (NODES, CLUSTER))
    words = [shlex.quote(one.strip()) for one in named.split(",") if one.strip()]
    return " ".join([*words, *([f"--cluster {shlex.quote(cluster)}"] if cluster else [])])
