"""What the node's AppArmor refused."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.denials import ObservedDenials, parse_denials

SCRIPT = Path(__file__).parents[1] / "templates/node/denials.sh"

#: Refusals of more kinds than this are only counted.
MOST_KINDS = 500


class Denials(FactBase[ObservedDenials]):
    """What AppArmor refused to containers since some time, equal refusals counted on the node.

    ```
    source audit.log
    denial 3 1795306396.288 apparmor="DENIED" operation="open" class="file" profile="lxc-a" ...
    left 12
    ```

    becomes `ObservedDenials(source="audit.log", left=12, denials=(Denial(count=3,
    last=1795306396.288, complain=False, fields={"operation": "open", ...}),))`.
    """

    @override
    def command(self, since: tuple[int, ...]) -> StringCommand:
        """Ask once; `since`: times (ascending) between which is told apart, or one as -SECONDS."""
        script = SCRIPT.read_text()
        times = (f"{time:d}" for time in since)
        return StringCommand("sh", "-c", QuoteString(script), "denials", str(MOST_KINDS), *times)

    @staticmethod
    @override
    def default() -> ObservedDenials:
        return ObservedDenials()

    @override
    def process(self, output: list[str]) -> ObservedDenials:
        return parse_denials(output)
