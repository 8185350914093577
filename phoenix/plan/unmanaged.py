"""Containers that the fleet file does not name: whether they are confined, and what to do.

No run touches them. Stopped ones count by their conf: what they run as from the next start on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from phoenix.apparmor.observed import Label
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.warnings import DOCKER_PROFILE, GENERATED
from phoenix.plan.confinement import named_in, says_open, template_text, unproven, until_restart
from phoenix.plan.container import pending_lines
from phoenix.plan.options import Options
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import is_privileged
from phoenix.text.printable import printable


@dataclass(frozen=True)
class Unmanaged:
    """How one of them is: `text` in words, `wrong` if it needs attention, `fix`: the way out."""

    text: str
    wrong: bool
    fix: str


def judge_unmanaged(
    observed: ObservedContainer, docker: ObservedDocker | None, options: Options, usable: bool
) -> Unmanaged:
    """Judge a container without an entry in the fleet file.

    `docker`: what its Docker says, None where nobody asked; `usable`: the node's AppArmor is.
    """
    how, is_open = how_confined(observed, usable)
    text = "; ".join(filter(None, (f"not in {options.fleet}", how)))
    wrong = is_open or options.unmanaged == "fail"
    entry = json.dumps(least_entry(observed, docker))
    return Unmanaged(text, wrong, f'add it there: "{observed.ctid}": {entry}')


def how_confined(observed: ObservedContainer, usable: bool) -> tuple[str, bool]:
    """How a container is confined, and whether it is, or will be, without AppArmor.

    In words, "" where its label says it.
    """
    conf = observed.conf
    if conf.template:
        return template_text(observed), False
    root = ", but privileged: root in it is root of the node" if is_privileged(conf) else ""
    if observed.label and not Label.parse(observed.label).confined:
        return "", True
    if waits := pending_lines(observed):
        return "; ".join(waits), True
    if not observed.label:
        why = unproven(observed, usable)
        return (
            why or f"stopped, its conf says {printable(named_in(conf, observed.includes))}{root}",
            bool(why),
        )
    if said := says_open(conf, observed.includes):
        return until_restart(said), True
    return f"confined{root}", False


def least_entry(observed: ObservedContainer, docker: ObservedDocker | None) -> dict[str, object]:
    """What to write into the fleet file: the least that confines it."""
    has_docker = docker is not None and docker.state in ("ok", "dead") and not docker.elsewhere
    # harden refuses a named profile for a privileged one
    if has_docker and not is_privileged(observed.conf):
        return {"features": ["docker"], "apparmor_profile": DOCKER_PROFILE}
    return {"apparmor_profile": GENERATED}
