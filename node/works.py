"""What works in a guest at one moment, and what of it does not at a later one.

templates/guest/works.sh says what its lines mean. A guest answers for itself and may say anything:
each record is taken only in the form that it can have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from node import guest, outside
from node.bounded import MIB
from node.files import text

#: Policies under which Docker starts a container again by itself, whatever it ended with.
_ALWAYS = ("always", "unless-stopped")

#: So many records of a guest are looked at; the script itself has less than that.
_MOST = 16_000

_CONTAINER = re.compile(
    r"(container|podman) ([a-z]{1,20}) (-|[a-z]{1,20}) ([a-z-]{0,20}) ([0-9TZ:.+-]{1,40}) "
    r"/?([A-Za-z0-9][A-Za-z0-9_.-]{0,127})"
)
# systemd.unit(5): letters, digits, ":-_.\", and "@" of an instance
_UNIT = re.compile(r"unit ([a-z-]{1,20}) ([a-z-]{1,30}) ([A-Za-z0-9:_.@\\-]{1,255})")
_BOOTS = re.compile(r"boots ([A-Za-z0-9:_.@\\-]{1,255})")
_PORT = re.compile(r"port ([1-9][0-9]{0,4}) ([A-Za-z0-9:_.@\\-]{1,255})")
_BEGAN = re.compile(r"began ([0-9]{1,20})")
_ERROR = re.compile(r"error /?((?:podman:)?[A-Za-z0-9][A-Za-z0-9_.-]{0,127})")

#: Services whose ports are those of others: of Docker's containers, of who is logged in.
_FOR_OTHERS = {
    f"{name}{suffix}"
    for name in ("docker", "containerd", "podman", "ssh", "sshd")
    for suffix in ("", ".service")
}
#: From here on the kernel gives ports to who asks for any (ip_local_port_range): they are others
#: after each start.
_ANY_PORT = 32768

#: How containers of podman are named here, and what starts those that restart by themselves.
PODMAN = "podman:"
_PODMAN_STARTS = "podman-restart.service"

#: So many are asked for by their names: words of a command.
_FEW = 50

#: Seconds for an answer, beside the end of a boot.
_ANSWER = 120


@dataclass(frozen=True)
class Container:
    """A container of the guest's Docker or podman: its state and health in their words."""

    status: str
    health: str
    restarts: str
    started: str

    @property
    def returns(self) -> bool:
        """Whether it runs, and is started again after a restart of the guest."""
        return self.status == "running" and self.restarts in _ALWAYS


@dataclass(frozen=True)
class Works:
    """What works in a guest at one moment.

    `containers`: by name, those of podman by `podman:NAME`; `units`: name to ACTIVE and SUB of
    systemctl; `boots`: services that start at boot; `booting`: that has not ended, or it shuts
    down; `silent`: which of `docker` and `podman` cannot be asked; `errors`: names of containers
    that could not be started; `ports`: of TCP, and the service that listens on each; `began`: when
    the first process did, where all of it was told from outside (`node.outside`).
    """

    containers: Mapping[str, Container] = field(default_factory=dict)
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    boots: frozenset[str] = frozenset()
    booting: bool = False
    silent: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    ports: Mapping[int, str] = field(default_factory=dict)
    began: str = ""

    @classmethod
    def parse(cls, text: str) -> Works | None:
        """Read what the script said; None where that is not a whole answer."""
        lines = text.split("\n")
        if lines[0] != "works 1" or "end" not in lines:
            return None
        containers, units, ports, boots, errors, began = {}, {}, {}, set(), set(), ""
        for line in lines[:_MOST]:
            if found := _CONTAINER.fullmatch(line):
                prefix = PODMAN if found[1] == "podman" else ""
                containers[f"{prefix}{found[6]}"] = Container(*found.groups()[1:5])
            elif found := _UNIT.fullmatch(line):
                units[found[3]] = (found[1], found[2])
            elif found := _BOOTS.fullmatch(line):
                boots.add(found[1])
            elif found := _ERROR.fullmatch(line):
                errors.add(found[1])
            elif found := _PORT.fullmatch(line):
                ports[int(found[1])] = found[2]
            elif found := _BEGAN.fullmatch(line):
                began = found[1]
        starts_podman = _PODMAN_STARTS in boots
        for name, one in containers.items():
            # nobody else starts them when the guest does, and before podman 5.8 that service starts
            # those of "always" alone; those of units are their units' affair
            if name.startswith(PODMAN) and not (one.restarts == "always" and starts_podman):
                containers[name] = replace(one, restarts="no")
        silent = frozenset(one for one in ("docker", "podman") if f"silent {one}" in lines)
        # as the version before says it
        silent |= {"docker"} if "docker no" in lines else frozenset()
        booting = "booting" in lines
        boot, failed = frozenset(boots), frozenset(errors)
        return cls(containers, units, boot, booting, silent, failed, ports, began)

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
    """Something that worked and does not: a `container`, a `unit` or a `port`, and what it is now.

    `begins`: it has begun and is not there yet, as its own health check or its unit says; `unit`:
    the one that a port is of.
    """

    kind: str
    name: str
    now: str
    begins: bool = False
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.now}"


def missing(before: Works, now: Works, accepted: Collection[str] = ()) -> Iterator[Missing]:
    """What worked before and does not now, but for what its owner goes without (`accepted`)."""
    for name, was in sorted(before.containers.items()):
        if not was.returns or _accepts(name, accepted):
            continue
        one = now.containers.get(name)
        if one is None:
            yield Missing("container", name, "is not there any more")
        elif one.status != "running":
            yield Missing("container", name, f"is {one.status}, it was running")
        elif was.health == "healthy" and one.health in ("starting", "unhealthy"):
            # Docker goes on asking: it may be well at the next check
            yield Missing("container", name, f"is {one.health}, it was healthy", begins=True)
    for name in sorted(before.services | now.failed):
        if _goes_without(name, accepted):
            continue
        active, sub = now.units.get(name, ("inactive", "dead"))
        if active == "failed":
            if name not in before.failed:
                yield Missing("unit", name, "has failed")
        elif active != "active" and name in before.services:
            # not one that systemd begins anew again and again
            begins = active == "activating" and sub != "auto-restart"
            yield Missing("unit", name, f"is {active} ({sub}), it was running", begins)
    for port, name in sorted(before.ports.items()):
        asked = name in before.services and name not in _FOR_OTHERS and port < _ANY_PORT
        if not asked or str(port) in accepted or _goes_without(name, accepted):
            continue
        if port not in now.ports and now.units.get(name, ("", ""))[0] == "active":
            # systemd says active as soon as the program has begun: it may open it later
            yield Missing("port", str(port), f"of {name} is closed, it was open", True, name)


def unasked(before: Works, now: Works) -> frozenset[str]:
    """What runs containers of `before` and cannot be asked for them now."""
    return now.silent & {engine(name) for name in before.containers}


def begun_anew(
    before: Works, then: Works, now: Works, accepted: Collection[str] = ()
) -> Iterator[Missing]:
    """What of `before` has ended and begun anew between two later looks: containers, the init."""
    if then.began != now.began and not _goes_without(outside.INIT, accepted):
        yield Missing("its", outside.INIT, "has ended and begun anew")
    for name, was in sorted(before.containers.items()):
        one, other = then.containers.get(name), now.containers.get(name)
        if one and other and was.returns and one.started != other.started:
            if _accepts(name, accepted):
                continue
            yield Missing("container", name, "has ended and begun anew")


def engine(container: str) -> str:
    """What runs a container, by its name here: the command that knows it."""
    return "podman" if container.startswith(PODMAN) else "docker"


def _accepts(container: str, accepted: Collection[str]) -> bool:
    """Whether its owner goes without it; one of podman may be named with or without that word."""
    return container in accepted or container.removeprefix(PODMAN) in accepted


def _goes_without(unit: str, accepted: Collection[str]) -> bool:
    """Whether its owner does; a service may be named without its suffix, as systemctl takes it."""
    return unit in accepted or unit.removesuffix(".service") in accepted


def fallen(before: Works, now: Works, accepted: Collection[str] = ()) -> Iterator[Missing]:
    """What worked long before and has failed since, as far as that can be told from outside.

    Not what its owner removed, or stopped: a container that has ended stays so only where somebody
    stopped it or Docker could not start it.
    """
    for name, was in sorted(before.containers.items()):
        one = now.containers.get(name)
        if not was.returns or _accepts(name, accepted):
            continue
        if one is None or one.restarts not in _ALWAYS:
            continue
        if one.status in ("restarting", "dead"):
            yield Missing("container", name, f"is {one.status}, it was running")
        elif one.status in ("exited", "created") and name in now.errors:
            yield Missing("container", name, f"is {one.status}: Docker could not start it")
        elif one.status == "running" and (was.health, one.health) == ("healthy", "unhealthy"):
            yield Missing("container", name, "is unhealthy, it was healthy")
    for name in sorted(before.units.keys() - before.failed):
        if _goes_without(name, accepted):
            continue
        active, sub = now.units.get(name, ("", ""))
        if active == "failed":
            yield Missing("unit", name, "has failed")
        elif name in before.services and (active, sub) == ("activating", "auto-restart"):
            yield Missing("unit", name, "ends again and again, it was running")


def ask(
    ctid: int,
    boot: int = 0,
    engines: bool = True,
    seconds: float = _ANSWER,
    only: Collection[str] = (),
) -> tuple[str, str]:
    """What a guest says of what works in it, for `Works.parse`, and why that may be nothing.

    `boot`: seconds to wait for the end of its boot, `seconds`: beside that; `engines`: ask those of
    its containers, too, and `only`: of these alone, by their names here. A program of its own is
    not asked, nor who has no shell (`node.outside`).
    """
    if outside.applies(ctid):
        return outside.works(ctid), outside.DOWN
    # each command of Docker takes a small machine seconds
    more = [":no-containers"] if not engines else []
    if engines and 0 < len(only) <= _FEW:
        more = [":containers", *only]
    words = ["sh", "-c", guest.script("works"), "works", f"{boot:d}", *more]
    ended = guest.attach(ctid, words, seconds=boot + seconds, limit=2 * MIB)
    if ended.code in guest.NO_SHELL:
        return outside.works(ctid), guest.last_line(ended)
    if not ended.ok:
        return "", guest.last_line(ended)
    return text(ended.out) or "", "its answer is not whole"
