"""Whether a workaround of others is needed still, with the versions at hand."""

from __future__ import annotations

from phoenix.plan.confinement import Confinement
from phoenix.plan.findings import Code
from phoenix.pve.versions import ObservedVersions
from phoenix.text.printable import printable

#: What is there for runc to start at all; the rest never had a use for Docker.
_FOR_RUNC = frozenset(
    {Code.MASK, Code.HOLD, Code.WRAPPER, Code.SECURITY_OPT, Code.COMPOSE, Code.HOOKSCRIPT}
)


def still_needed(code: Code, confinement: Confinement | None, versions: ObservedVersions) -> str:
    """Whether Docker needs such a workaround, in words; "" where that is not known.

    `confinement`: what the fleet file wants for the container, None where it does not know it.
    """
    if confinement and confinement.named:
        return f"not needed under {confinement.profile}"
    if code not in _FOR_RUNC:
        return "Docker does not need it"
    lxc = versions.lxc
    if lxc is None:
        return ""
    here = f"this node has {printable(lxc.version)}"
    if lxc.is_fixed:
        return f"not needed since {lxc.package} {lxc.floor}; {here}"
    return (
        "Docker with a newer runc needs it under Proxmox's generated profile until "
        f"{lxc.package} is {lxc.floor}; {here}"
    )
