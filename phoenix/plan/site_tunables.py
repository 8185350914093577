"""The site's own tunables: variables that the fleet file sets, and that profiles use.

They stand in a file of their own, which `tunables/global` includes with its folder `global.d`
(apparmor.d(5), Variables). Ours is the only one that is ever written or taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from phoenix.apparmor.observed import MARKER, TUNABLES_SITE, ObservedAppArmor
from phoenix.plan.findings import Code, Finding, Severity

PATH = f"/etc/apparmor.d/{TUNABLES_SITE}"


@dataclass(frozen=True)
class SiteTunablesChange:
    """The file as it is and as it shall be, None for none."""

    before: str | None
    after: str | None

    @property
    def line(self) -> str:
        """What becomes of it, in one line."""
        if self.after is None:
            return f"{PATH}: goes: the fleet file sets no tunables"
        return f"{PATH}: {'new' if self.before is None else 'changed'}"


def render_tunables(tunables: Mapping[str, tuple[str, ...]]) -> str | None:
    """The text of the file, None for no variables.

    >>> print(render_tunables({"dirs": ("/srv/", "/tank/")}), end="")
    # Managed by phoenix-harden: changes are overwritten by its next run.
    @{dirs} = /srv/ /tank/
    """
    if not tunables:
        return None
    lines = [f"@{{{name}}} = {' '.join(values)}" for name, values in tunables.items()]
    return "\n".join([f"{MARKER} changes are overwritten by its next run.", *lines, ""])


def plan_site_tunables(
    tunables: Mapping[str, tuple[str, ...]], apparmor: ObservedAppArmor
) -> tuple[SiteTunablesChange | None, tuple[Finding, ...]]:
    """What changes of a node's file, and what stands against it."""
    before, after = apparmor.files.get(TUNABLES_SITE), render_tunables(tunables)
    # 3.x reads a profile's `if defined` and drops most of what stands in it
    if tunables and not (apparmor.reads_global_d and apparmor.parser and apparmor.parser >= (4,)):
        version = ".".join(map(str, apparmor.parser or ("?",)))
        return None, (
            Finding(
                Code.TUNABLES_SITE,
                Severity.ERROR,
                f"tunables need AppArmor 4.0 or newer, which reads {PATH}; this node has {version}"
                f"{'' if apparmor.reads_global_d else ', whose tunables/global lacks global.d'}",
                fix="take them out of the fleet file, or upgrade the node",
            ),
        )
    if before == after:
        return None, ()
    if before is not None and not before.startswith(MARKER):
        if not tunables:
            return None, ()
        foreign = f"{PATH} is there and not ours"
        return None, (Finding(Code.TUNABLES_SITE, Severity.ERROR, foreign, fix="move it away"),)
    return SiteTunablesChange(before, after), ()
