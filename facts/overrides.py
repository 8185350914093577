"""What of the node itself, and which scripts of its containers, take confinement away."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from facts.observe import ObservedWhole
from phoenix.pve.hookscripts import HookScript, hookscripts_from_json
from phoenix.pve.overrides import ObservedOverrides, overrides_from_json


class HookScripts(ObservedWhole[Mapping[str, HookScript]]):
    """The scripts that confs have run on the node, by the names that they have there.

    ```
    {"hookscripts": {"local:snippets/a.sh": {"path": "/var/lib/vz/snippets/a.sh",
     "text": "#!/bin/sh\\n...", "why": ""}}}
    ```

    becomes `{"local:snippets/a.sh": HookScript("/var/lib/vz/snippets/a.sh", "#!/bin/sh\\n...")}`.
    """

    section = "hookscripts"
    read = staticmethod(hookscripts_from_json)

    @staticmethod
    @override
    def default() -> Mapping[str, HookScript]:
        return {}


class Overrides(ObservedWhole[ObservedOverrides]):
    """The kernel's lines and LXC's files.

    ```
    {"overrides": {"kernel": {"/proc/cmdline": "quiet apparmor=0"},
     "lxc": {"/usr/share/lxc/config/common.conf": ["lxc.apparmor.raw = mount,"]},
     "base": null, "changed": ["/usr/share/lxc/config/common.conf"]}}
    ```

    becomes an `ObservedOverrides` of the same.
    """

    section = "overrides"
    read = staticmethod(overrides_from_json)

    @staticmethod
    @override
    def default() -> ObservedOverrides:
        return ObservedOverrides()
