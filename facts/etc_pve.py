"""Whether a node's /etc/pve takes changes."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.pve.etc_pve import ObservedEtcPve, etc_pve_from_json


class EtcPve(Observed[ObservedEtcPve]):
    """What the node's pmxcfs says of itself; nothing is written to try it.

    ```
    {"etc_pve": {"mode": 493, "quorate": true, "read_only": false, "free": 134168576,
     "files": 262050, "database": 48318382080}}
    ```

    becomes `ObservedEtcPve(mode=0o755, quorate=True, read_only=False, free=134168576,
    files=262050, database=48318382080)`.
    """

    section = "etc_pve"
    read = staticmethod(etc_pve_from_json)

    @override
    def command(self) -> StringCommand:
        """Ask for all of it at once."""
        return asking({self.section: {}})

    @staticmethod
    @override
    def default() -> ObservedEtcPve:
        return ObservedEtcPve()
