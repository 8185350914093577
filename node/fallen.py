"""What worked in a guest when a run of ours proved it, and does not now; the audit asks.

commit has noted what worked before its change, and proven that it worked again (`node.owners`).
What its owner has removed or stopped since is no failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from node import containers
from node.beside import beside
from node.dockers import patience
from node.files import read, text
from node.noted import noted
from node.root import at, seconds
from node.works import Missing, Works, ask, engine, fallen, unasked

#: Seconds after which a guest is asked once more: something may just be moving.
_LATER = 10

#: Seconds after which no further guest is asked; so much is told of one.
_MOST_TIME, _MOST = 180, 20


def observe(only: Sequence[int]) -> dict[str, Any]:
    """Ask those that run and still have the profile under which a run of ours has proven them.

    `only`: some of them; none: all. `{"952": {"run": ID, "fallen": [[KIND, NAME, NOW]], "more": 0,
    "why": ""}}`: KIND is `container` or `unit`, `more`: how many further ones, `why`: in words why
    a guest cannot tell, or not all. One in which all works is not there.
    """
    asked = [ctid for ctid in containers.ctids() if not only or ctid in only]
    deadline = time.monotonic() + _MOST_TIME
    answers = beside(lambda ctid: _answer(ctid, deadline), asked, (os.cpu_count() or 1) + 2)
    return {str(ctid): answer for ctid, answer in answers.items() if answer}


def _answer(ctid: int, deadline: float) -> dict[str, Any] | None:
    last = noted(ctid) if containers.init_pid(ctid) is not None else None
    before = Works.parse(last.works) if last else None
    if last is None or before is None or _profiles(last.conf) != _profiles(_conf(ctid)):
        return None
    found, why = _look(ctid, before, last.accept, deadline)
    if found:
        later = seconds("OWNERS_LATER", _LATER)
        time.sleep(later)
        again, _ = _look(ctid, before, last.accept, deadline + later)
        found = [one for one in found if one in again]
    if not found and not why:
        return None
    told = [[one.kind, one.name, one.now] for one in found[:_MOST]]
    return {"run": last.run, "fallen": told, "more": len(found) - len(told), "why": why}


def _look(
    ctid: int, before: Works, accepted: frozenset[str], deadline: float
) -> tuple[list[Missing], str]:
    """What has fallen, and why that may not be all of it."""
    if time.monotonic() > deadline:
        return [], "not asked, the others took too long"
    said, why = ask(ctid, engines=bool(before.containers), seconds=patience())
    now = Works.parse(said)
    if now is None:
        return [], why
    if now.booting:
        return [], "it is starting or stopping"
    silent, why = unasked(before, now), ""
    if silent:
        asked = {name: one for name, one in before.containers.items() if engine(name) not in silent}
        before, why = replace(before, containers=asked), f"its {min(silent)} does not answer"
    return [*fallen(before, now, accepted)], why


def _conf(ctid: int) -> str:
    return text(read(at(f"/etc/pve/lxc/{ctid}.conf"))) or ""


def _profiles(conf: str) -> list[str]:
    """What a conf says of AppArmor: a CTID may belong to another container by now."""
    main = conf.partition("\n[")[0]
    return [line for line in main.split("\n") if line.startswith("lxc.apparmor.profile")]
