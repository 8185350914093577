"""What a run has staged for a container and not committed yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.pve.conf import PveConf
from phoenix.runs.record import check_run_id


@dataclass(frozen=True)
class StagedConf:
    """A new conf that waits for its commit, and the sha256 of the one that it was made from."""

    before: str
    conf: PveConf

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {"before": self.before, "conf": self.conf.text}


def _conf(data: Mapping[str, Any]) -> StagedConf | None:
    conf = data["conf"]
    return None if conf is None else StagedConf(conf["before"], PveConf.parse(conf["conf"]))


class Staged(Observed["StagedConf | None"]):
    """The conf that a run has staged for a container, or None without one.

    An excerpt of the output::

        {"staged": {"conf": {"before": "5f70bf18...", "conf": "features: nesting=1\\n"}}}

    It becomes::

        StagedConf(before="5f70bf18...", conf=PveConf("features: nesting=1\\n"))
    """

    section = "staged"
    read = staticmethod(_conf)

    @override
    def command(self, run: str, ctid: int) -> StringCommand:
        """Ask for what is in the run's folder."""
        return asking({"staged": {"run": check_run_id(run), "ctid": ctid}})

    @staticmethod
    @override
    def default() -> StagedConf | None:
        """Nothing is staged."""
        return None
