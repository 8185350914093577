"""What the node's AppArmor refused, and what fell over in its guests."""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.apparmor.denials import ObservedDenials, denials_from_json
from phoenix.docker.fallen import Fallen, fallen_from_json


class Denials(Observed[ObservedDenials]):
    """What AppArmor refused to containers since some time, equal refusals counted on the node.

    ```
    {"denials": {"source": "audit.log", "missing": "", "begins": null, "begin": 1795305600,
     "width": 60, "left": 12, "floods": [["lxc-a", 12, 1795305700.5, 1795305760.2]], "denials":
     [[3, 1795306396.288, "apparmor=\\"DENIED\\" operation=\\"open\\" profile=\\"lxc-a\\" ...",
       {"first": 1795305610.2, "spread": [[0, 1], [13, 2]], "pid": 4711, "owner": [910, ""]}]]}}
    ```

    becomes `ObservedDenials(source="audit.log", begin=1795305600.0, width=60, left=12,
    floods=(Flood("lxc-a", 12, 1795305700.5, 1795305760.2),), denials=(Denial(count=3,
    last=1795306396.288, complain=False, fields={"operation": "open", ...}, first=1795305610.2,
    spread=((0, 1), (13, 2)), pid=4711, owner=Owner(910)),))`. `node.denials.observe` says what
    each means.
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


class FellOver(Observed[Mapping[int, Fallen]]):
    """What worked in a guest when a run of ours proved it, and has failed since.

    ```
    {"fallen": {"952": {"run": "r20261122T052000Z-ab12", "more": 0, "why": "",
     "fallen": [["container", "web", "is restarting, it was running"]]}}}
    ```

    becomes `{952: Fallen(run="r20261122T052000Z-ab12", things=(Thing(kind="container", ...),))}`.
    """

    section = "fallen"
    read = staticmethod(fallen_from_json)

    @override
    def command(self, only: tuple[int, ...] = ()) -> StringCommand:
        """Ask each guest that runs, of those in `only` if there are any."""
        return asking({self.section: {"only": [*only]}})

    @staticmethod
    @override
    def default() -> Mapping[int, Fallen]:
        return {}
