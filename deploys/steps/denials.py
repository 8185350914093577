"""What was denied on all nodes: the same lines as below an audit's table."""

from __future__ import annotations

from weakref import WeakSet

from pyinfra.api import DeployError, State
from pyinfra.context import ctx_state

from deploys.steps.asking import ask, lock, observe, read_options
from deploys.steps.screen import show
from phoenix.plan.node import check_present
from phoenix.plan.questions import asked_by_denials
from phoenix.report.denial_groups import group_denials
from phoenix.report.denial_lines import denial_lines

_told: WeakSet[State] = WeakSet()


def denials() -> None:
    """Ask all nodes side by side and show what was denied on each. Raises DeployError."""
    state = ctx_state.get()
    with lock:
        if state in _told:
            return
        _told.add(state)
        options = read_options(state, "denials")
        asked = asked_by_denials(options)
        found = ask(state, lambda host: observe(host, asked)).values()
        if problems := check_present(options, [facts.containers for facts in found]):
            raise DeployError("\n".join(problems))
        for facts in found:
            pct, seen = facts.containers, facts.denials
            groups = group_denials(seen, pct.containers, options)
            show(denial_lines(pct.node, seen, groups, options))
