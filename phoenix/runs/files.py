"""What a node keeps of its runs, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phoenix.docker.daemon_json import digest
from phoenix.pve.ha import DEFAULT
from phoenix.runs.journal import HA_DEFAULT, JournalError, read_journal
from phoenix.runs.record import NONE, RunRecord, check_run_id

#: Where a node keeps its runs.
RUNS = "/var/lib/phoenix-harden/runs"


class RunFileError(ValueError):
    """A before-image that cannot be given back: `is not kept`, or `is not whole`."""


@dataclass(frozen=True)
class Interrupted:
    """A container whose commit in another run was cut short, or works still (`active`).

    `makes`, `destroys`: what that run was about to do; what is made is taken away again. `ha`: what
    HA was asked for, where nothing but that is to be put back; else "".
    """

    run: str
    ctid: int
    active: bool = False
    makes: bool = False
    destroys: bool = False
    ha: str = ""

    @property
    def text(self) -> str:
        """How it is, for an audit."""
        left = "left it ignored by HA" if self.ha else "was interrupted there"
        return f"run {self.run} {'works on it' if self.active else left}"

    def __str__(self) -> str:
        how = "is still working on it" if self.active else "was interrupted"
        then = "it is recovered first, then this container is planned again"
        if self.makes:
            how += " while it made this container"
            then = "unless it is finished by then, what there is of it is destroyed first"
        elif self.ha and not self.active:
            how = "left it ignored by HA"
            state = DEFAULT if self.ha == HA_DEFAULT else self.ha
            then = f"its state in HA is put back to {state} first, if that can be done now"
        elif self.destroys:
            how += " while it destroyed this container"
            then = "that is finished first"
        return f"CT {self.ctid}: run {self.run} {how}; {then}"


@dataclass(frozen=True)
class ObservedRuns:
    """The runs of a node, oldest first; `active`: (run, CTID) of the commits at work.

    `problems`: the runs whose journals do not fit. Nothing is known of them, not even whether one
    was cut short in a container, so they stand against every change until somebody has looked.
    """

    runs: tuple[RunRecord, ...] = ()
    active: tuple[tuple[str, int], ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """The commits that were cut short, and those that work still; the oldest first.

        Both are recovered in one way: whoever is first has the lock and finishes.
        """
        return tuple(
            Interrupted(
                run.id,
                ctid,
                (run.id, ctid) in self.active,
                makes=any(one.before == NONE for one in run.open_confs(ctid)),
                destroys=any(one.after == NONE for one in run.open_confs(ctid)),
                ha=run.held_state(ctid),
            )
            for run in self.runs
            for ctid in run.open_containers
        )


@dataclass(frozen=True)
class RunFiles:
    """What a run kept and staged (CTID to file to text).

    `files`: before-images of the node, and `guest_files` those of guests by CTID, each text under
    the digest that it was kept by. `now`: what is at the asked-for paths of the node, None where
    there is nothing; `left`: those beside which lies a new file that was never put in place, as a
    run that was cut short leaves it.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    staged: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    now: Mapping[str, str | None] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    guest_files: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def of_node(self, sha256: str) -> str | None:
        """A before-image of the node, None for none. Raises KeptError."""
        return _whole(sha256, self.files)

    def of_guest(self, ctid: int, sha256: str, journal_format: int) -> str | None:
        """A before-image of a guest's file, None for none. Raises KeptError.

        Runs with a journal of format 1 kept all of them in one place.
        """
        theirs = self.guest_files.get(ctid, {})
        if journal_format == 1 and sha256 not in theirs:
            return _whole(sha256, self.files)
        return _whole(sha256, theirs)


def runs_from_json(data: Mapping[str, Any]) -> ObservedRuns:
    """Read the section `runs` of the node's answer (`node.runs`).

    A journal that does not fit is a problem, and what it says counts for nothing.
    """
    journals: Mapping[str, str] = data["runs"]
    runs, problems = [], list(data["problems"])
    for run, text in sorted(journals.items()):
        try:
            runs.append(read_journal(check_run_id(run), text))
        except JournalError as error:
            problems.append(
                f"{error}: refused; look at {RUNS}/{run}/journal.jsonl, and move the folder out of "
                f"{RUNS} if what it did need not be rolled back"
            )
    active = tuple((check_run_id(run), int(ctid)) for run, ctid in data["active"])
    return ObservedRuns(tuple(runs), active, tuple(problems))


def run_files_from_json(data: Mapping[str, Any]) -> RunFiles:
    """Read the section `kept` of the node's answer (`node.runs`)."""
    return RunFiles(
        files=data["files"],
        staged={int(ctid): files for ctid, files in data["staged"].items()},
        now=data["now"],
        left=tuple(data["left"]),
        guest_files={int(ctid): files for ctid, files in data["guest"].items()},
    )


def _whole(sha256: str, images: Mapping[str, str]) -> str | None:
    if sha256 == NONE:
        return None
    if sha256 not in images:
        raise RunFileError("is not kept")
    if digest(images[sha256]) != sha256:
        raise RunFileError("is not whole")
    return images[sha256]
