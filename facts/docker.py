"""What Docker in the guests is and has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.docker.observed import ObservedDocker
from phoenix.docker.reading import dockers_from_json


class Dockers(Observed[Mapping[int, ObservedDocker]]):
    """Docker, its data, its daemon.json and its packages in every asked-for container that runs.

    One command for all of them, some side by side, and one `lxc-attach` each; a guest that hangs
    costs its time-out (60 seconds, or `PHOENIX_GUEST_TIMEOUT` on the node), and once more where no
    more than four do. An excerpt::

        {"dockers": {
         "910": {"state": "ok", "text": "guest 1\\nos debian 13\\ninfo {...", "error": ""},
         "953": {"state": "none", "text": "guest 1\\nabsent\\nos debian 13\\n...", "error": ""},
         "954": {"state": "hung", "text": "", "error": ""}}}

    The lines of a guest are those of `templates/guest/docker.sh`. It becomes
    `{910: ObservedDocker("ok", version="26.1.5+dfsg1", driver="overlay2", ...),
    953: ObservedDocker("none", os="debian 13", ...), 954: ObservedDocker("hung")}`.
    """

    section = "dockers"
    read = staticmethod(dockers_from_json)

    @override
    def command(self, ctids: tuple[int, ...], probe: Collection[int] = ()) -> StringCommand:
        """Ask in these containers; in those of `probe` also try to mount an overlay."""
        return asking({self.section: {"ctids": [*ctids], "probe": sorted(probe)}})

    @staticmethod
    @override
    def default() -> Mapping[int, ObservedDocker]:
        return {}
