"""The watch of a node: a timer that warns of what is no longer as harden left it.

What it holds the node against is a file of lines (`node/watch.py` reads them):

    910 lxc-docker-nested (enforce)               the label of a container's first process
    910 conf lxc.apparmor.profile: lxc-a          what its conf has, before its snapshots
    910 conf features: fuse=1                     one feature; `dev:` one device
    profile lxc-docker-nested enforce SHA256      a file of /etc/apparmor.d, and the kernel's mode
    file /usr/local/lib/phoenix-harden/namespace SHA256
    tunables                                      they compile
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from phoenix.apparmor.observed import ABI, FOLDER, HOOK, MARKER, TUNABLES_SITE
from phoenix.docker.daemon_json import digest
from phoenix.fleet.model import Container, Fleet
from phoenix.plan.actions import FileChange, NodePlan, WatchChange
from phoenix.plan.as_made import as_made
from phoenix.plan.confinement import PROFILE_KEY, Confinement, wanted
from phoenix.plan.container import left_alone
from phoenix.plan.facts import NodeFacts
from phoenix.plan.options import Options
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedPct
from phoenix.runs.watch import SCRIPT, SERVICE, TIMER, WANTED, ObservedWatch


def wanted_text(
    fleet: Fleet, options: Options, facts: NodeFacts, plan: NodePlan, confs: bool = True
) -> str:
    """What the watch holds a node against once a plan is done; `confs`: it writes confs.

    The label of every container of the file that is there counts; `profile=`, `stacking=` and
    `mode=` for those that the run selects. What this run does not look at stays as it was noted.
    Who is left unconfined has no line.
    """
    fleet = as_made(fleet, facts.containers)
    return "".join(f"{line}\n" for line in _Wanted(fleet, options, facts, plan, confs).lines())


@dataclass(frozen=True)
class _Wanted:
    fleet: Fleet
    options: Options
    facts: NodeFacts
    plan: NodePlan
    confs: bool

    def lines(self) -> Iterator[str]:
        confined = {
            ctid: one
            for ctid in sorted(set(self.fleet.containers) & set(self.facts.containers.containers))
            if (one := self._confinement(self.fleet.containers[ctid])).label(ctid)
        }
        for ctid, confinement in confined.items():
            yield f"{ctid} {confinement.label(ctid)}"
            yield from self._conf(ctid, confinement)
        named = {one.profile: one for one in confined.values() if one.named}
        for name in sorted(named):
            yield from self._profile(named[name])
        stacked = any(one.stacked for one in named.values())
        for path in (*((ABI,) if named else ()), *((HOOK,) if stacked else ())):
            yield from self._file(path)
        yield from self._site_tunables()
        if named:
            yield "tunables"

    def _confinement(self, container: Container) -> Confinement:
        if self.options.takes(container):
            return wanted(container, self.options)
        return wanted(container, self.options.model_copy(update=_OTHERS))

    def _conf(self, ctid: int, confinement: Confinement) -> Iterator[str]:
        """What runs of ours have in a conf; what somebody has taken out of it since is none."""
        observed = self.facts.containers.containers[ctid]
        cut = any(one.ctid == ctid for one in self.plan.interrupted)
        chosen = self.options.takes(self.fleet.containers[ctid])
        alone = ctid in self.plan.alone or left_alone(observed, self.options)
        if not (self.confs and chosen) or alone or cut:
            yield from self._noted(f"{ctid} conf ")
            return
        managed, main = Managed.parse(observed.managed), observed.conf.main
        if change := self.plan.changes.get(ctid):
            managed, main = change.managed or managed, change.after.main
        yield f"{ctid} conf {PROFILE_KEY}: {confinement.conf_value(ctid)}"
        features = f",{main['features'] or ''},"
        for name, value in managed.features.items():
            if f",{name}={value}," in features:
                yield f"{ctid} conf features: {name}={value}"
        lines = {*main.raw_items()}
        for raw in managed.raw:
            if (raw.key, raw.value) in lines:
                yield f"{ctid} conf {raw.line}"
        there = {main[key] for key in main if re.fullmatch("dev[0-9]+", key)}
        yield from (f"{ctid} conf dev: {one}" for one in managed.devices if one in there)

    def _profile(self, confinement: Confinement) -> Iterator[str]:
        """A profile of ours as this run leaves it."""
        name = confinement.profile
        text = self.facts.apparmor.files.get(name) or ""
        for change in self.plan.profiles:
            text = change.after if change.name == name else text
        if text.startswith(MARKER):
            yield f"profile {name} {confinement.mode} {digest(text)}"
        else:
            yield from self._noted(f"profile {name} ")

    def _file(self, path: str) -> Iterator[str]:
        text = self.facts.apparmor.own_file(path)
        for change in self.plan.own_files:
            text = change.after if change.path == path else text
        if text is not None:
            yield f"file {path} {digest(text)}"

    def _site_tunables(self) -> Iterator[str]:
        change = self.plan.site_tunables
        text = change.after if change else self.facts.apparmor.files.get(TUNABLES_SITE)
        if text is not None and self.fleet.tunables:
            yield f"file {FOLDER}/{TUNABLES_SITE} {digest(text)}"

    def _noted(self, start: str) -> Iterator[str]:
        """What is known of a thing that this run does not look at."""
        lines = self._before.get(start.split(" ")[0], ())
        yield from (line for line in lines if line.startswith(start))

    @cached_property
    def _before(self) -> Mapping[str, Sequence[str]]:
        """What was wanted so far, by the first word of each line."""
        found: dict[str, list[str]] = {}
        for line in (self.facts.containers.wanted or "").splitlines():
            found.setdefault(line.split(" ")[0], []).append(line)
        return found


_OTHERS = {"profile": None, "stacking": None, "mode": None}


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
    if not files and timer == "keep":
        return None
    only_wanted = timer == "keep" and [one.path for one in files] == [WANTED]
    return WatchChange(timer, files, only_wanted and _only_moved(there.get(WANTED, ""), wanted))


def _only_moved(before: str, after: str) -> bool:
    """Whether things only came or went, as where containers migrate: none is wanted otherwise."""
    old, new = ({_subject(line): line for line in text.splitlines()} for text in (before, after))
    return all(old[one] == new[one] for one in old.keys() & new.keys())


def _subject(line: str) -> str:
    """What a line is about: of a conf each line is a thing of its own."""
    words = line.split(" ")
    if words[1:2] == ["conf"]:
        return line
    return words[0] if words[0].isdigit() else " ".join(words[:2])


def _timer(asked: bool | None, on: bool, units: bool) -> Literal["on", "off", "keep"]:
    """What becomes of the timer; `on`: it is now; `units`: systemd's files of it change."""
    if asked is None:
        return "on" if on and units else "keep"
    if on == asked and not units:
        return "keep"
    return "on" if asked else "off"
