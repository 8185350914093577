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


def still_needed(
    code: Code, confinement: Confinement | None, versions: ObservedVersions, seen: str = ""
) -> str:
    """Whether Docker needs such a workaround, in words; "" where that is not known.

    `confinement`: what the fleet file wants for the container, None where it does not know it;
    `seen`: what shows AppArmor to its Docker there, "" for nothing.
    """
    if code == Code.MASK and seen:
        return f"needed as long as its Docker sees AppArmor's files ({seen})"
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


def before_it_goes(
    code: Code, confinement: Confinement | None, versions: ObservedVersions, seen: str = ""
) -> str:
    """What to do before such a workaround can go, in words; "" where it can, see above."""
    if code == Code.MASK and seen:
        return (
            'set "apparmor_stacking": true for it in the fleet file, which gives its Docker a '
            "namespace of its own: then it can go"
        )
    lxc = versions.lxc
    named = confinement is not None and confinement.named
    if code not in _FOR_RUNC or named or lxc is None or lxc.is_fixed:
        return ""
    return f"upgrade {lxc.package} on the node to {lxc.floor} or newer: then it can go"
