"""What a run has staged for a container and not committed yet."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from pyinfra.api import FactBase, QuoteString, StringCommand

from phoenix.pve_conf import PveConf


@dataclass(frozen=True)
class StagedConf:
    """A new conf that waits for its commit, and the sha256 of the one that it was made from."""

    before: str
    conf: PveConf

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {"before": self.before, "conf": self.conf.text}


class Staged(FactBase["StagedConf | None"]):
    """The conf in the folder `RUN/CTID` of a run, or None without one.

    An excerpt of the output, a digest and then the conf in base64::

        5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
        ZmVhdHVyZXM6IG5lc3Rpbmc9MQo=

    It becomes::

        StagedConf(before="5f70bf18...", conf=PveConf("features: nesting=1\\n"))
    """

    def command(self, folder: str) -> StringCommand:
        """Print both files if they are there."""
        return StringCommand(
            "cd",
            QuoteString(folder),
            "2>/dev/null && [ -f before ] && cat before && echo && base64 conf || true",
        )

    @staticmethod
    def default() -> StagedConf | None:
        """Nothing is staged: the command printed no line."""
        return None

    def process(self, output: list[str]) -> StagedConf | None:
        """Parse the lines of the command."""
        before, *encoded = output
        return StagedConf(before, PveConf.from_bytes(b64decode("".join(encoded))))


class Changed(FactBase[bool]):
    """Whether the last commit in the folder `RUN/CTID` found the conf changed since it was staged.

    The command prints `changed` or nothing, which becomes True or False.
    """

    def command(self, folder: str) -> StringCommand:
        """Look for the mark that commit leaves."""
        return StringCommand("[ ! -e", QuoteString(f"{folder}/changed"), "] || echo changed")

    @staticmethod
    def default() -> bool:
        """No mark: the command printed no line."""
        return False

    def process(self, output: list[str]) -> bool:
        """There is a mark."""
        return output == ["changed"]
