"""Which nodes a run goes on without."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from phoenix.fleet.model import Fleet
from phoenix.plan.options import Options
from phoenix.pve.observed import ObservedPct


def absent_nodes(options: Options, unreached: Sequence[str], offline: Sequence[str]) -> list[str]:
    """What stands against a run, because nodes are missing; nothing where it goes on without them.

    `unreached`: those that no connection was made to; `offline`: members that their cluster does
    not see either. Without a word of `offline=` only the former stand against it.
    """
    problems = []
    if unreached and options.offline != "skip":
        problems += [
            f"cannot reach {', '.join(unreached)}: nothing was changed; bring it up, or leave out "
            "what cannot be reached with --data offline=skip"
        ]
    if offline and options.offline == "refuse":
        problems += [
            f"offline: {', '.join(offline)}: nothing was changed; bring it up, or go on without it "
            "by leaving out --data offline=refuse"
        ]
    return problems


def missed_nodes(fleet: Fleet, nodes: Sequence[ObservedPct]) -> AbstractSet[str]:
    """The nodes to ask once more: a container came to them while all were asked.

    Each was asked before that or after it, and so none has said that the container is there.
    """
    seen = {ctid for one in nodes for ctid in one.containers}
    places = {
        place
        for one in nodes
        for ctid, place in one.elsewhere.items()
        if ctid in fleet.containers and ctid not in seen
    }
    return places & {one.node for one in nodes}
