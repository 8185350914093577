"""Containers that the fleet file does not name: whether they are confined, and what to do.

No run touches them. Stopped ones count by their conf: what they run as from the next start on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from phoenix.apparmor.observed import Label
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.warnings import DOCKER_PROFILE, GENERATED
from phoenix.plan.confinement import named_in, says_open, template_text
from phoenix.plan.options import Options
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import is_privileged
from phoenix.text.printable import printable


@dataclass(frozen=True)
class Unmanaged:
    """How one of them is: `text` in words, `wrong` if it needs attention, and then the way out."""

    text: str
    wrong: bool
    fix: str


def judge_unmanaged(
    observed: ObservedContainer, docker: ObservedDocker | None, options: Options
) -> Unmanaged:
    """Judge a container without an entry in the fleet file; `docker`: what its Docker says."""
    how, is_open = _confinement(observed)
    text = "; ".join(filter(None, (f"not in {options.fleet}", how)))
    if is_open:
        fix = f"add it there to have it confined: {_entry(observed, docker)}"
        return Unmanaged(text, wrong=True, fix=fix)
    fix = f"add it there: {_entry(observed, docker)}"
    return Unmanaged(text, wrong=options.unmanaged == "fail", fix=fix)


def _confinement(observed: ObservedContainer) -> tuple[str, bool]:
    """In words, and whether it is, or will be, without AppArmor; "" where its label says it."""
    label = Label.parse(observed.label) if observed.label else None
    said = printable(says_open(observed.conf))
    if observed.conf.template:
        return template_text(observed.conf), False
    root = ", but privileged: root in it is root of the node"
    root = root if is_privileged(observed.conf) else ""
    if label and not label.confined:
        return "", True
    if label:
        ends = f"confined until it is restarted: its conf says {said}"
        return (ends, True) if said else (f"confined{root}", False)
    if observed.running:
        return "runs, and its label cannot be read", True
    stopped = f"stopped, its conf says {said or printable(named_in(observed.conf))}"
    return (stopped, True) if said else (f"{stopped}{root}", False)


def _entry(observed: ObservedContainer, docker: ObservedDocker | None) -> str:
    """What to write into the fleet file: the least that confines it."""
    entry: dict[str, object] = {"apparmor_profile": GENERATED}
    has_docker = docker is not None and docker.state in ("ok", "dead") and not docker.elsewhere
    # harden refuses a named profile for a privileged one
    if has_docker and not is_privileged(observed.conf):
        entry = {"features": ["docker"], "apparmor_profile": DOCKER_PROFILE}
    return f'"{observed.ctid}": {json.dumps(entry)}'
