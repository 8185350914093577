"""What the runs on a node did, and what they kept for going back."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.journal import check_run_id
from phoenix.kept import Kept, ObservedRuns, parse_kept, parse_runs

_NODE = Path(__file__).parents[1] / "templates/node"


class Runs(FactBase[ObservedRuns]):
    """The journals of the node's runs, and which commits work at this moment, in one command.

    ```
    run r20261122T013000Z-beef
    entry {"time":"...","ctid":910,"event":"intent",...}
    entry {"time":"...","ctid":910,"event":"done",...}
    active phoenix-harden-r20261122T013000Z-beef-952.service
    ```

    becomes an `ObservedRuns` with one `phoenix.journal.RunRecord` and `active={(run, 952)}` as a
    tuple of pairs.
    """

    @override
    def command(self, unfinished: bool = False) -> StringCommand:
        """Ask for all runs, or for those that were cut short."""
        script = (_NODE / "runs.sh").read_text()
        return StringCommand("sh -c", QuoteString(script), "runs", "open" if unfinished else "all")

    @staticmethod
    @override
    def default() -> ObservedRuns:
        return ObservedRuns()

    @override
    def process(self, output: list[str]) -> ObservedRuns:
        return parse_runs(output)


class KeptFiles(FactBase[Kept]):
    """What a run kept and staged, and what is there now, in one command.

    ```
    kept 5f70bf18... features:%20nesting=1%0A
    staged 910 conf features:%20nesting=1,keyctl=1%0A
    now /etc/apparmor.d/lxc-docker-nested none
    left /etc/apparmor.d/lxc-docker-nested
    ```

    becomes `Kept(files={"5f70bf18...": "features: nesting=1\\n"}, staged={910: {"conf":
    "features: nesting=1,keyctl=1\\n"}}, now={"/etc/apparmor.d/lxc-docker-nested": None},
    left=("/etc/apparmor.d/lxc-docker-nested",))`.
    """

    @override
    def command(self, run: str, paths: tuple[str, ...] = ()) -> StringCommand:
        """Ask for a run and these files of the node."""
        script = (_NODE / "kept.sh").read_text()
        return StringCommand(
            "sh -c",
            QuoteString(script),
            "kept",
            check_run_id(run),
            *(QuoteString(path) for path in paths),
        )

    @staticmethod
    @override
    def default() -> Kept:
        return Kept()

    @override
    def process(self, output: list[str]) -> Kept:
        return parse_kept(output)
