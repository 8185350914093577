"""Whether a workaround of others is needed still, with the versions at hand."""

from __future__ import annotations

from collections.abc import Mapping

from phoenix.plan.confinement import Confinement
from phoenix.plan.findings import Code
from phoenix.pve.overrides import Installed

#: Since when Proxmox's generated profile lets a runc with the fix of CVE-2025-52881 start
#: containers (docs/facts.md): what people work around most. Proxmox's package, then Debian's.
FIXED = (("lxc-pve", "6.0.5-2"), ("lxc", "1:6.0.4-4+deb13u4"))

#: What is there for runc to start at all; the rest never had a use for Docker.
_FOR_RUNC = frozenset(
    {Code.MASK, Code.HOLD, Code.WRAPPER, Code.SECURITY_OPT, Code.COMPOSE, Code.HOOKSCRIPT}
)


def still_needed(
    code: Code, confinement: Confinement | None, versions: Mapping[str, Installed]
) -> str:
    """Whether Docker needs such a workaround, in words; "" where that is not known.

    `confinement`: what the fleet file wants for the container, None where it does not know it.
    """
    if confinement and confinement.named:
        return f"not needed under {confinement.profile}"
    if code not in _FOR_RUNC:
        return "Docker does not need it"
    for package, version in FIXED:
        if here := versions.get(package):
            if here.fixed:
                return f"not needed since {package} {version}; this node has {here.version}"
            return (
                "Docker with a newer runc needs it under Proxmox's generated profile until "
                f"{package} is {version}; this node has {here.version}"
            )
    return ""
