"""What a node has of the watch over its containers' labels."""

from __future__ import annotations

from typing_extensions import override

from facts.observe import ObservedWhole
from phoenix.runs.watch import ObservedWatch, watch_from_json


class Watch(ObservedWhole[ObservedWatch]):
    """The files of the watch that are there, and whether its timer is enabled and runs.

    ```
    {"watch": {"files": {"/var/lib/phoenix-harden/wanted": "910 lxc-docker-nested enforce\\n"},
     "timer": true}}
    ```

    becomes `ObservedWatch(files={"/var/lib/phoenix-harden/wanted":
    "910 lxc-docker-nested enforce\\n"}, timer=True)`.
    """

    section = "watch"
    read = staticmethod(watch_from_json)

    @staticmethod
    @override
    def default() -> ObservedWatch:
        return ObservedWatch()
