"""Confs with which a container does not start, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.dev_nodes import Collision, collisions
from phoenix.pve.observed import ObservedContainer
from phoenix.text.printable import printable


def collision_findings(observed: ObservedContainer, said: Iterable[Finding]) -> Iterator[Finding]:
    """Find what collides in a conf as it is; `said`: what a plan has found of it already.

    A template never starts.
    """
    known = any(one.code == Code.COLLISION for one in said)
    found = collisions(observed.conf, observed.ctid)
    if found and not known and not observed.conf.template:
        name = printable(observed.conf.hostname or "")
        text, fix = collision_text(found), collision_fix(found, observed.ctid)
        yield Finding(Code.COLLISION, Severity.WARNING, text, observed.ctid, name, fix)


def collision_text(found: tuple[Collision, ...]) -> str:
    """What collides, and what comes of it."""
    return f"{'; '.join(map(str, found))}: it does not start like that"


def collision_fix(found: tuple[Collision, ...], ctid: int) -> str:
    """What to do: one of the two goes."""
    keys = ",".join(one.key for one in found)
    return f"take one of the two out, such as by pct set {ctid} --delete {keys}"
