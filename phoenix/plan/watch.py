"""The watch of a node: a timer that warns of running containers without their wanted label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from phoenix.fleet.model import Fleet
from phoenix.plan.actions import FileChange, WatchChange
from phoenix.plan.confinement import wanted
from phoenix.plan.options import Options
from phoenix.pve.observed import ObservedPct
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER, WANTED, ObservedWatch


def wanted_text(fleet: Fleet, options: Options, pct: ObservedPct) -> str:
    """The wanted labels of all containers of the file that are on this node, one a line.

    `profile=`, `stacking=` and `mode=` count for those that the run selects. Who is left unconfined
    has no line.
    """
    return "".join(_wanted_lines(fleet, options, pct))


def _wanted_lines(fleet: Fleet, options: Options, pct: ObservedPct) -> Iterator[str]:
    others = options.model_copy(update={"profile": None, "stacking": None, "mode": None})
    for ctid in sorted(set(fleet.containers) & set(pct.containers)):
        selected = not options.only or ctid in options.only
        confinement = wanted(fleet.containers[ctid], options if selected else others)
        if label := confinement.label(ctid):
            yield f"{ctid} {label}\n"


def plan_watch(
    asked: bool | None,
    wanted: str,
    pct: ObservedPct,
    observed: ObservedWatch,
    texts: Mapping[str, str],
) -> WatchChange | None:
    """What changes of the watch, None for nothing.

    `asked`: install it, remove it, or None: keep it, where it is installed with its files of this
    version and with what is `wanted` now; its timer stays as it is then. `texts`: those of
    `SCRIPT`, `SERVICE` and `TIMER`.
    """
    there = dict(observed.files)
    if pct.wanted is not None:
        there.setdefault(WANTED, pct.wanted)
    if asked is None and WANTED not in there:
        return None
    modes = {SCRIPT: "755", SERVICE: "644", TIMER: "644", WANTED: "600"}
    after: Mapping[str, str | None] = {**texts, WANTED: wanted}
    if asked is False:
        after = dict.fromkeys(modes)
    files = tuple(
        FileChange(path, there.get(path), after[path], mode)
        for path, mode in modes.items()
        if there.get(path) != after[path]
    )
    timer = _timer(asked, observed.timer, bool({SERVICE, TIMER} & {one.path for one in files}))
    return WatchChange(timer, files) if files or timer != "keep" else None


def _timer(asked: bool | None, on: bool, units: bool) -> Literal["on", "off", "keep"]:
    """What becomes of the timer; `on`: it is now; `units`: systemd's files of it change."""
    if asked is None:
        return "on" if on and units else "keep"
    if on == asked and not units:
        return "keep"
    return "on" if asked else "off"
