"""Which kernels and which LXC a node has."""

from __future__ import annotations

from typing_extensions import override

from facts.observe import ObservedWhole
from phoenix.pve.versions import ObservedVersions, versions_from_json


class Versions(ObservedWhole[ObservedVersions]):
    """The kernel that runs, and the installed packages of kernels and of LXC.

    ```
    {"versions": {"release": "6.17.13-2-pve",
     "build": "#1 SMP PREEMPT_DYNAMIC PMX 6.17.13-2 (2026-03-13T08:06Z)",
     "packages": {"lxc-pve": "6.0.5-1"}}}
    ```

    becomes `ObservedVersions(release="6.17.13-2-pve", build="#1 SMP …",
    packages={"lxc-pve": "6.0.5-1"})`.
    """

    section = "versions"
    read = staticmethod(versions_from_json)

    @staticmethod
    @override
    def default() -> ObservedVersions:
        return ObservedVersions()
