"""What nodes are asked, all of them side by side.

pyinfra runs a deploy file once per host, side by side. Some questions are about all of them
(is a CTID of `only=` anywhere?), so the first host to arrive asks every node, and the others
take the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar, cast

from gevent.lock import RLock
from gevent.pool import Pool
from pyinfra.api import DeployError, Host, State
from pyinfra.api.exceptions import FactProcessError, PyinfraError
from pyinfra.context import ctx_host, ctx_state

from deploys.steps.screen import show
from facts.observe import ask_node
from phoenix.plan.facts import NodeFacts, read_facts
from phoenix.plan.options import OFFLINE, Options, OptionsError, Recipe, parse_options
from phoenix.plan.questions import Request
from phoenix.plan.reach import absent_nodes

T = TypeVar("T")

#: One host asks for all of them, the others wait for it.
lock = RLock()


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
