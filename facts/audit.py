"""What the node's AppArmor refused."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.denials import ObservedDenials, denials_from_json


class Denials(Observed[ObservedDenials]):
    """What AppArmor refused to containers since some time, equal refusals counted on the node.

    ```
    {"denials": {"source": "audit.log", "begins": null, "left": 12, "denials":
     [[3, 1795306396.288, "apparmor=\\"DENIED\\" operation=\\"open\\" profile=\\"lxc-a\\" ..."]]}}
    ```

    becomes `ObservedDenials(source="audit.log", left=12, denials=(Denial(count=3,
    last=1795306396.288, complain=False, fields={"operation": "open", ...}),))`.
    """

    section = "denials"
    read = staticmethod(denials_from_json)

    @override
    def command(
        self, since: tuple[int, ...] | None = None, only: tuple[int, ...] = ()
    ) -> StringCommand:
        """Ask once, of everybody.

        `since`: times (ascending) between which is told apart, or one as -SECONDS; None: the
        starts of the containers that run, of those in `only` if there are any.
        """
        times = None if since is None else [*since]
        return asking({self.section: {"since": times, "only": [*only]}})

    @staticmethod
    @override
    def default() -> ObservedDenials:
        return ObservedDenials()
