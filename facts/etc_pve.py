"""Whether a node's /etc/pve takes changes."""

from __future__ import annotations

from typing_extensions import override

from facts.observe import ObservedWhole
from phoenix.pve.etc_pve import ObservedEtcPve, etc_pve_from_json


class EtcPve(ObservedWhole[ObservedEtcPve]):
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

    @staticmethod
    @override
    def default() -> ObservedEtcPve:
        return ObservedEtcPve()
