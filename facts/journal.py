"""What the runs on a node did, and what they kept for going back."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.runs.files import ObservedRuns, RunFiles, run_files_from_json, runs_from_json
from phoenix.runs.record import check_run_id


class Runs(Observed[ObservedRuns]):
    """The journals of the node's runs, and which commits work at this moment, in one command.

    ```
    {"runs": {"runs": {"r20261122T013000Z-beef": "{\\"event\\":\\"begin\\",...}\\n{...}\\n"},
     "active": [["r20261122T013000Z-beef", 952]], "problems": []}}
    ```

    becomes an `ObservedRuns` with one `phoenix.runs.journal.RunRecord` and
    `active=(("r20261122T013000Z-beef", 952),)`.
    """

    section = "runs"
    read = staticmethod(runs_from_json)

    @override
    def command(self, unfinished: bool = False) -> StringCommand:
        """Ask for all runs, or for those that were cut short."""
        return asking({self.section: {"unfinished": unfinished}})

    @staticmethod
    @override
    def default() -> ObservedRuns:
        return ObservedRuns()


class FilesOfRun(Observed[RunFiles]):
    """What a run kept and staged, and what is there now, in one command.

    ```
    {"run_files": {"files": {"5f70bf18...": "features: nesting=1\\n"},
     "guest": {"910": {"e3b0c442...": ""}},
     "staged": {"910": {"conf": "features: nesting=1,keyctl=1\\n"}},
     "now": {"/etc/apparmor.d/lxc-docker-nested": null},
     "left": ["/etc/apparmor.d/lxc-docker-nested"]}}
    ```

    becomes `RunFiles(files={"5f70bf18...": "features: nesting=1\\n"},
    guest={910: {"e3b0c442...": ""}},
    staged={910: {"conf": "features: nesting=1,keyctl=1\\n"}},
    now={"/etc/apparmor.d/lxc-docker-nested": None},
    left=("/etc/apparmor.d/lxc-docker-nested",))`.
    """

    section = "run_files"
    read = staticmethod(run_files_from_json)

    @override
    def command(self, run: str, paths: tuple[str, ...] = ()) -> StringCommand:
        """Ask for a run and these files of the node, such as a run of ours changes."""
        return asking({self.section: {"run": check_run_id(run), "paths": [*paths]}})

    @staticmethod
    @override
    def default() -> RunFiles:
        return RunFiles()
