"""What to type next after a first look at some nodes: one command."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from phoenix.plan.doctor import ContainerLook, NodeLook, Readiness
from phoenix.plan.options import Options
from phoenix.text.some import some

#: How the fleet file is called that one is told to have written.
FLEET = "fleet.json"


class Next(StrEnum):
    """What comes next."""

    #: A node on which nothing can be done as it is.
    REPAIR = "repair"
    #: Something stands against every change of a node.
    CLEAR = "clear"
    #: Nodes with the same ids, which one fleet file cannot tell apart.
    ONE_NODE = "one-node"
    #: The fleet file that `harden` needs.
    WRITE = "write"
    #: One container, dry.
    HARDEN = "harden"
    #: Something stands against each container that is not confined.
    UNBLOCK = "unblock"
    #: What is not confined has to be started before anything can be told of it.
    START = "start"
    #: All is confined.
    DONE = "done"


@dataclass(frozen=True)
class NextCommand:
    """`why`: in words; `command`: to type, "" where it is not one; `node`: where, "" for here."""

    code: Next
    why: str
    command: str = ""
    node: str = ""


def next_command(looks: Sequence[NodeLook], options: Options, nodes: str = "") -> NextCommand:
    """The one for what was found on all nodes; what is in the way of everything comes first.

    `nodes`: the words of a command line that name them, "" where it needs none.
    """

    def command(recipe: str, *words: str) -> str:
        return " ".join(filter(None, ("phoenix", recipe, nodes, *words)))

    has_file = "fleet" in options.model_fields_set
    fleet = shlex.quote(options.fleet if has_file else str(options.write))
    again = command("doctor", f"--fleet {fleet}" if has_file else "")
    for look in looks:
        for check in look.broken:
            why = f"{check.aspect}: {check.text}: {check.fix}"
            return NextCommand(Next.REPAIR, why, again, look.node)
    for look in looks:
        for stop in look.stops:
            return NextCommand(Next.CLEAR, stop.text, again, look.node)
    ready = _of(looks, Readiness.READY)
    if ready and (has_file or options.write):
        one = min(ready, key=lambda one: (not one.is_open, not one.is_backed_up, one.ctid))
        harden = command("harden", "--dry", f"--fleet {fleet}", f"--only {one.ctid}")
        return NextCommand(Next.HARDEN, f"what harden would change of CT {one.ctid}", harden)
    if ready and (twice := shared_ids(looks)):
        (ctid, both), *_ = twice.items()
        why = f"CT {ctid} is on {' and '.join(both)}: one fleet file cannot name both"
        # as it was named, if by its own name
        named = (word for word in shlex.split(nodes) if word.rpartition("@")[2] == both[0])
        one_node = shlex.quote(next(named, f"root@{both[0]}"))
        return NextCommand(Next.ONE_NODE, why, f"phoenix doctor {one_node}")
    if ready:
        whose = some([str(one.ctid) for one in ready])
        why = f"a fleet file for harden, with CT {whose}"
        return NextCommand(Next.WRITE, why, command("doctor", f"--data write={FLEET}"))
    for one in _of(looks, Readiness.BLOCKED):
        return NextCommand(Next.UNBLOCK, f"CT {one.ctid}: {one.text}; then look again", again)
    for look in looks:
        for one in _of([look], Readiness.UNKNOWN):
            if one.label == "-":
                why = f"CT {one.ctid}: {one.text}; then look again"
                return NextCommand(Next.START, why, f"pct start {one.ctid}", look.node)
            return NextCommand(Next.UNBLOCK, f"CT {one.ctid}: {one.text}", again)
    if not any(look.containers for look in looks):
        return NextCommand(Next.DONE, "there is no container")
    if has_file:
        audit = command("audit", f"--fleet {fleet}")
        return NextCommand(Next.DONE, "every container is confined; what else there is", audit)
    why = "every container is confined; what is denied to them"
    return NextCommand(Next.DONE, why, _denials(nodes))


def _denials(nodes: str) -> str:
    """The command for denials, which has an option for each node, and a variable for a cluster."""
    words = shlex.split(nodes)
    if words[:1] == ["--cluster"]:
        return f"PHOENIX_CLUSTER={shlex.quote(words[1])} phoenix denials"
    return " ".join(["phoenix denials", *(f"--node {shlex.quote(word)}" for word in words)])


def shared_ids(looks: Sequence[NodeLook]) -> Mapping[int, Sequence[str]]:
    """The ids of which there is an entry, and more than one node has a container, with these nodes.

    An entry is about all of them, also about one that is not ready.
    """
    named = {ctid for look in looks for ctid in look.entries}
    found: dict[int, list[str]] = {}
    for look in looks:
        for one in look.containers:
            if one.ctid in named:
                found.setdefault(one.ctid, []).append(look.node)
    return {ctid: nodes for ctid, nodes in sorted(found.items()) if len(nodes) > 1}


def _of(looks: Iterable[NodeLook], readiness: Readiness) -> list[ContainerLook]:
    return [one for look in looks for one in look.containers if one.readiness == readiness]
