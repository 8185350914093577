"""The watch of a node: a timer that warns of running containers without their wanted label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from phoenix.changes import FileChange, WatchChange
from phoenix.fleet import Fleet
from phoenix.observed import ObservedPct
from phoenix.options import Options
from phoenix.wish import wanted

SCRIPT = "/usr/local/lib/phoenix-harden/watch"
SERVICE = "/etc/systemd/system/phoenix-harden-watch.service"
TIMER = "/etc/systemd/system/phoenix-harden-watch.timer"
WANTED = "/var/lib/phoenix-harden/wanted"


@dataclass(frozen=True)
class ObservedWatch:
    """What a node has of the watch: the text of its files, and whether the timer is on."""

    files: Mapping[str, str] = field(default_factory=dict)
    timer: bool = False

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        return {"files": dict(self.files), "timer": self.timer}


def parse_watch(lines: list[str]) -> ObservedWatch:
    """Read the lines of `facts.watch.Watch`. Never raises.

    >>> parse_watch(["file /a b%0A", "timer on"])
    ObservedWatch(files={'/a': 'b\\n'}, timer=True)
    """
    files = {}
    timer = False
    for line in lines:
        match line.split(" "):
            case ["file", path, text]:
                files[path] = unquote_to_bytes(text).decode("utf-8", "surrogateescape")
            case ["timer", state]:
                timer = state == "on"
    return ObservedWatch(files, timer)


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
        wish = wanted(fleet.containers[ctid], options if selected else others)
        if label := wish.label(ctid):
            yield f"{ctid} {label.profile} {label.mode}\n"


def plan_watch(
    asked: bool | None,
    wanted: str,
    pct: ObservedPct,
    observed: ObservedWatch,
    texts: Mapping[str, str],
) -> WatchChange | None:
    """What changes of the watch, None for nothing.

    `asked`: install it, remove it, or None: keep it, with what is `wanted` now where it is
    installed. `texts`: those of `SCRIPT`, `SERVICE` and `TIMER`. `observed` counts only where it
    is asked for.
    """
    if asked is None:
        if pct.wanted is None or pct.wanted == wanted:
            return None
        return WatchChange("keep", (FileChange(WANTED, pct.wanted, wanted, "600"),))
    modes = {SCRIPT: "755", SERVICE: "644", TIMER: "644", WANTED: "600"}
    after: Mapping[str, str | None] = {**texts, WANTED: wanted} if asked else dict.fromkeys(modes)
    files = tuple(
        FileChange(path, observed.files.get(path), after[path], mode)
        for path, mode in modes.items()
        if observed.files.get(path) != after[path]
    )
    timer: Literal["on", "off", "keep"] = "on" if asked else "off"
    if observed.timer == asked and not {SERVICE, TIMER} & {one.path for one in files}:
        timer = "keep"
    return WatchChange(timer, files) if files or timer != "keep" else None
