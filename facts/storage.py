"""Which host directories and devices of the fleet file are on a node."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.pve.storage import ObservedStorage, storage_from_json


class Storage(Observed[ObservedStorage]):
    """Those of `paths` that exist, and the mountpoints of the node's ZFS datasets.

    ```
    {"storage": {"paths": ["/dev/nvidia0"],
     "datasets": {"tank/portainer_data": "/srv/portainer"},
     "silent": {"/mnt/nas": "no answer in 2 s"}}}
    ```

    becomes `ObservedStorage(paths=("/dev/nvidia0",), datasets={"tank/portainer_data":
    "/srv/portainer"}, silent={"/mnt/nas": "no answer in 2 s"})`.
    """

    section = "storage"
    read = staticmethod(storage_from_json)

    @override
    def command(self, paths: tuple[str, ...], nvidia: bool = False) -> StringCommand:
        """Ask once, for all paths; `nvidia`: and for what GPUs have beside them."""
        asked = {"paths": [*paths], **({"nvidia": True} if nvidia else {})}
        return asking({self.section: asked})

    @staticmethod
    @override
    def default() -> ObservedStorage:
        return ObservedStorage()
