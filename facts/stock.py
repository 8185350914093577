"""Where on a node a container can be made."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.pve.stock import ObservedStock, stock_from_json


class Stock(Observed[ObservedStock]):
    """Which ids virtual machines have, the storages, which of `templates` are there, the ZFS pools.

    ```
    {"stock": {"guests": {"100": "pve2"}, "storages": {"tank": {"type": "zfspool",
     "content": "rootdir", "usable": true, "pool": "tank/ct"}}, "templates": [], "pools": ["tank"]}}
    ```

    becomes `ObservedStock(guests={100: "pve2"}, storages={"tank": Storage("zfspool", ("rootdir",),
    True, "tank/ct")}, templates=(), pools=("tank",))`.
    """

    section = "stock"
    read = staticmethod(stock_from_json)

    @override
    def command(self, templates: tuple[str, ...]) -> StringCommand:
        """Ask once, for all templates."""
        return asking({self.section: {"templates": [*templates]}})

    @staticmethod
    @override
    def default() -> ObservedStock:
        return ObservedStock()
