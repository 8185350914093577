"""What a container was made under stays, where the fleet file names no profile.

`create` gives a container the profile that its features imply (`Container.implied`), and the file
need not say so. For a container that somebody else has made nothing is implied: without a word in
the file it has Proxmox's own profile.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from phoenix.apparmor.observed import Label
from phoenix.fleet.model import Container, Fleet
from phoenix.plan.confinement import forms, named_in
from phoenix.pve.observed import ObservedContainer, ObservedPct


def as_made(fleet: Fleet, pct: ObservedPct) -> Fleet:
    """The fleet file as it is meant on a node."""
    containers = {
        ctid: _as_made(container, pct.containers.get(ctid))
        for ctid, container in fleet.containers.items()
    }
    return replace(fleet, containers=MappingProxyType(containers))


def _as_made(container: Container, observed: ObservedContainer | None) -> Container:
    """Under the implied profile if the conf names that, in whichever of its forms."""
    if container.says_profile or observed is None:
        return container
    named = Label.parse(named_in(observed.conf)).profile
    own = (None, container.ctid)
    if named in {form.profile for one in own for form in forms(container.implied, one)}:
        return replace(container, profile=container.implied)
    return container
