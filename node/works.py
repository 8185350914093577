"""What works in a guest at one moment, and what of it does not at a later one.

templates/guest/works.sh says what its lines mean. A guest answers for itself and may say anything:
each record is taken only in the form that it can have. `node.owners` asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

#: Policies under which Docker starts a container again by itself, whatever it ended with.
_ALWAYS = ("always", "unless-stopped")

#: So many records of a guest are looked at; the script itself has less than that.
_MOST = 16_000

_CONTAINER = re.compile(
    r"container ([a-z]{1,20}) (-|[a-z]{1,20}) ([a-z-]{0,20}) ([0-9TZ:.+-]{1,40}) "
    r"/?([A-Za-z0-9][A-Za-z0-9_.-]{0,127})"
)
# systemd.unit(5): letters, digits, ":-_.\", and "@" of an instance
_UNIT = re.compile(r"unit ([a-z-]{1,20}) ([a-z-]{1,30}) ([A-Za-z0-9:_.@\\-]{1,255})")
_BOOTS = re.compile(r"boots ([A-Za-z0-9:_.@\\-]{1,255})")


@dataclass(frozen=True)
class Container:
    """A container of the guest's Docker: its state and health in Docker's words."""

    status: str
    health: str
    restarts: str
    started: str

    @property
    def returns(self) -> bool:
        """Whether it runs, and Docker starts it again after a restart of the guest."""
        return self.status == "running" and self.restarts in _ALWAYS


@dataclass(frozen=True)
class Works:
    """What works in a guest at one moment.

    `containers`: by name; `units`: name to ACTIVE and SUB of systemctl; `boots`: services that
    start at boot; `booting`: that has not ended; `answers`: its Docker does, if it has one.
    """

    containers: Mapping[str, Container] = field(default_factory=dict)
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    boots: frozenset[str] = frozenset()
    booting: bool = False
    answers: bool = True

    @classmethod
    def parse(cls, text: str) -> Works | None:
        """Read what the script said; None where that is not a whole answer."""
        lines = text.split("\n")
        if lines[0] != "works 1" or "end" not in lines:
            return None
        containers, units, boots = {}, {}, set()
        for line in lines[:_MOST]:
            if found := _CONTAINER.fullmatch(line):
                containers[found[5]] = Container(found[1], found[2], found[3], found[4])
            elif found := _UNIT.fullmatch(line):
                units[found[3]] = (found[1], found[2])
            elif found := _BOOTS.fullmatch(line):
                boots.add(found[1])
        booting, answers = "booting" in lines, "docker no" not in lines
        return cls(containers, units, frozenset(boots), booting, answers)

    @property
    def failed(self) -> frozenset[str]:
        """Units that have failed."""
        return frozenset(name for name, (active, _) in self.units.items() if active == "failed")

    @property
    def services(self) -> frozenset[str]:
        """Services that run and start at boot: those that somebody started by hand do not."""
        running = {name for name, state in self.units.items() if state == ("active", "running")}
        return frozenset(running & self.boots)

    @property
    def down(self) -> tuple[str, ...]:
        """What does not work, in words: it is nobody's business but its owner's."""
        containers = (
            f"container {name} ({one.health if one.status == 'running' else one.status})"
            for name, one in sorted(self.containers.items())
            if one.restarts in _ALWAYS
            if one.status != "running" or one.health == "unhealthy"
        )
        return (*containers, *(f"unit {name} (failed)" for name in sorted(self.failed)))


@dataclass(frozen=True)
class Missing:
    """Something that worked and does not: a `container` or a `unit`, and what it is now.

    `begins`: it has begun and is not there yet, as its own health check or its unit says; `gone`:
    it is not there at all, or it was stopped, as its owner may want it.
    """

    kind: str
    name: str
    now: str
    begins: bool = False
    gone: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.now}"


def missing(before: Works, now: Works, accepted: Collection[str] = ()) -> Iterator[Missing]:
    """What worked before and does not now, but for what its owner goes without (`accepted`)."""
    for name, was in sorted(before.containers.items()):
        if not was.returns or name in accepted:
            continue
        one = now.containers.get(name)
        if one is None:
            yield Missing("container", name, "is not there any more", gone=True)
        elif one.status != "running":
            yield Missing("container", name, f"is {one.status}, it was running")
        elif was.health == "healthy" and one.health != "healthy":
            # Docker goes on asking: it may be well at the next check
            begins = one.health in ("starting", "unhealthy")
            yield Missing("container", name, f"is {one.health}, it was healthy", begins)
    for name in sorted(before.services | now.failed):
        if name in accepted or name.removesuffix(".service") in accepted:
            continue
        active, sub = now.units.get(name, ("inactive", "dead"))
        if active == "failed":
            if name not in before.failed:
                yield Missing("unit", name, "has failed")
        elif active != "active" and name in before.services:
            # not one that systemd begins anew again and again
            begins = active == "activating" and sub != "auto-restart"
            stopped = active == "inactive"
            now_is = f"is {active} ({sub}), it was running"
            yield Missing("unit", name, now_is, begins, gone=stopped)


def begun_anew(
    before: Works, then: Works, now: Works, accepted: Collection[str] = ()
) -> Iterator[Missing]:
    """Containers of `before` that have ended and begun anew between two later looks."""
    for name, was in sorted(before.containers.items()):
        one, other = then.containers.get(name), now.containers.get(name)
        if one and other and was.returns and name not in accepted and one.started != other.started:
            yield Missing("container", name, "has ended and begun anew")
