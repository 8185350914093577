"""In which order containers are restarted.

Those that others depend on come first, then `boot_order` decides among the ones that are free to
go, then the fleet file's own order. Who has no `boot_order` goes after those that have one, as
Proxmox does at boot (pve-docs, "Automatic Start and Shutdown of Virtual Machines").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from phoenix.fleet.model import Container


def in_order(containers: Sequence[Container]) -> list[Container]:
    """These containers as they are to be worked on, one after another.

    A dependency that is not among them is as good as fulfilled. Raises ValueError for a circle,
    which `phoenix.fleet.parse.parse_fleet` has refused before.
    """
    here = {container.ctid: place for place, container in enumerate(containers)}

    def rank(place: int) -> tuple[bool, int, int]:
        boot_order = containers[place].boot_order
        return boot_order is None, boot_order or 0, place

    waiting = TopologicalSorter(
        {
            place: [here[other] for other in containers[place].dependencies if other in here]
            for place in here.values()
        }
    )
    waiting.prepare()
    free = [rank(place) for place in waiting.get_ready()]
    heapify(free)
    ordered = []
    while free:
        *_, place = heappop(free)
        ordered.append(containers[place])
        waiting.done(place)
        for other in waiting.get_ready():
            heappush(free, rank(other))
    return ordered


def circles(dependencies: Mapping[int, Sequence[int]]) -> Iterator[list[int]]:
    """Find the circles among dependencies (who waits for whom), each as a chain to its beginning.

    Each begins with the one that comes first in the mapping, and each is broken by taking its
    first dependency out. A container that waits for itself is no circle here.
    """
    waits = {
        one: [other for other in others if other != one] for one, others in dependencies.items()
    }
    while True:
        try:
            TopologicalSorter(waits).prepare()
            return
        except CycleError as error:
            # graphlib names each one before those that wait for it, and the first one twice
            chain = list(reversed(error.args[1][1:]))
        first = min(chain, key=list(waits).index)
        turned = chain.index(first)
        chain = [*chain[turned:], *chain[:turned]]
        yield [*chain, first]
        waits[first].remove(chain[1])
