"""What `phoenix denials --follow` tells of one node: its events in, what is told out.

No clock and no line to the node: `now` is the caller's, in seconds of any steady clock. What is
kept is bounded, whatever containers have the node's log say.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from phoenix.apparmor.denials import Flood, ObservedDenials
from phoenix.apparmor.follow_events import Again, MoreKinds, NewKind, Source, read_event
from phoenix.report.denial_data import group_data, node_data
from phoenix.report.denial_groups import DenialGroup, event_group, name_group, sort_groups
from phoenix.report.denial_lines import (
    became,
    denial_text,
    flood_text,
    source_text,
    summary_lines,
    time_text,
)
from phoenix.text.printable import printable

#: So many kinds of one node are kept; of more the one that was seen longest ago goes.
MOST_KINDS = 1000
#: So many new kinds of the same containers are shown in so many seconds, further ones counted.
MOST_SHOWN, _WINDOW = 20, 10.0
#: A kind's number is told again when it is so many times what was told, or after so many seconds.
_OFTENER, _AGAIN_AFTER = 10, 60.0

V = TypeVar("V")


@dataclass(frozen=True)
class Told:
    """One thing that is told: as a line, and as data. `aside`: it is about the following itself."""

    text: str
    data: Mapping[str, Any]
    aside: bool = False


@dataclass
class _Kind:
    """A kind of denial; `count` of it when it was told last, and when that was."""

    group: DenialGroup
    told: int = 0
    told_at: float = 0.0


@dataclass
class _Text:
    """A refusal as the node counts it in this connection; `sharing`: whose it may be.

    `key`: of its kind, None where nobody asked for those containers.
    """

    key: tuple[object, ...] | None
    sharing: tuple[int, ...]
    count: int = 0


@dataclass
class _Window:
    """The new kinds of the same containers since some moment."""

    began: float
    shown: int = 0
    hidden: int = 0


@dataclass(frozen=True)
class _Flood:
    """A flood, and when it was told last; `before`: its lines of earlier connections."""

    flood: Flood
    told_at: float
    before: int = 0


@dataclass
class Follow:
    """What is known of a node that is followed.

    `node`: how the operator calls it; `since`: from when on, in seconds since the epoch; `only`:
    containers that are asked for, () for all; `names` of the containers.
    """

    node: str
    since: float
    only: Collection[int] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    _source: Source = field(default_factory=Source)
    _left: int = 0
    _lost_at: float | None = None
    _puzzled: bool = False
    _kinds: OrderedDict[tuple[object, ...], _Kind] = field(default_factory=OrderedDict)
    _texts: OrderedDict[str, _Text] = field(default_factory=OrderedDict)
    _windows: OrderedDict[tuple[int, ...], _Window] = field(default_factory=OrderedDict)
    _floods: OrderedDict[str, _Flood] = field(default_factory=OrderedDict)

    def connected(
        self, node: str, names: Mapping[int, str], goes_on: bool, now: float
    ) -> Iterator[Told]:
        """A connection begins: what the node and its containers call themselves.

        `goes_on`: with what came since the last one broke.
        """
        self.node, self.names = node, names
        # the node counts anew
        self._texts.clear()
        for profile, one in self._floods.items():
            self._floods[profile] = replace(one, before=one.flood.lines)
        self._puzzled = False
        if self._lost_at is not None:
            gap = "it goes on where it was" if goes_on else "what came meanwhile may be missing"
            text = f"connected again after {now - self._lost_at:.0f} s: {gap}"
            yield self._aside("connected", text, goes_on=goes_on)
        elif self.only and not {*self.only} & {*names}:
            absent = sorted({*self.only})
            text = f"not here now: CT {', '.join(map(str, absent))}"
            yield self._aside("absent", text, ctids=absent)
        self._lost_at = None

    def lost(self, why: str, now: float) -> Iterator[Told]:
        """The connection is gone, or there is none yet; told once until there is one."""
        if self._lost_at is None:
            self._lost_at = now
            yield self._aside("lost", f"{why}; trying again until it answers", why=why)

    def take(self, data: Mapping[str, Any], now: float) -> Iterator[Told]:
        """One event of `node follow`; one that is not understood is told once a connection."""
        try:
            event = read_event(data)
        except ValueError as error:
            if not self._puzzled:
                self._puzzled = True
                yield self._aside("odd", f"an event of the node is not understood: {error}")
            return
        match event:
            case Source():
                yield from self._read_source(event)
            case NewKind():
                yield from self._denial(event, now)
            case Again():
                yield from self._again(event, now)
            case MoreKinds():
                yield from self._flood(event, now)

    def summary(self) -> Iterator[str]:
        """All that was seen, in lines."""
        seen, groups = self._seen()
        return summary_lines(self.node, seen, groups, f"since {time_text(self.since)}")

    def summary_data(self) -> dict[str, Any]:
        """All that was seen, as data."""
        return node_data(self.node, *self._seen())

    def _seen(self) -> tuple[ObservedDenials, list[DenialGroup]]:
        floods = tuple(one.flood for one in self._floods.values())
        seen = ObservedDenials(
            source=self._source.source,
            left=self._left + sum(flood.lines for flood in floods),
            floods=floods,
            missing=self._source.missing,
        )
        return seen, sort_groups(kind.group for kind in self._kinds.values())

    def _read_source(self, new: Source) -> Iterator[Told]:
        if new != self._source:
            says = "now follows" if self._source.source else "follows"
            self._source = new
            text = f"{says} {source_text(new.source, new.missing)}"
            yield self._aside("source", text, log=new.source, log_missing=new.missing)

    def _denial(self, event: NewKind, now: float) -> Iterator[Told]:
        group = name_group(event_group(event.denial, event.sharing), self.names)
        asked = not self.only or {*self.only} & {*group.ctids}
        key = group.key if asked else None
        _keep(self._texts, event.text, _Text(key, event.sharing, event.denial.count))
        if not asked:
            return
        kind = self._kinds.get(group.key)
        if kind is None:
            yield from self._new(group, now)
        else:
            # whose it is stays, where that is known no better by now
            kind.group = replace(kind.group, denial=(kind.group + group).denial)
            yield from self._often(kind, now)

    def _again(self, event: Again, now: float) -> Iterator[Told]:
        text = self._texts.get(event.text)
        if text is not None and text.key is None:
            return
        kind = self._kinds.get(text.key) if text and text.key else None
        if text is None or text.key is None or kind is None:
            # seen last too long ago to be known still
            self._left += 1
            return
        more, text.count = max(0, event.count - text.count), event.count
        denial = kind.group.denial
        denial = replace(denial, last=event.at, count=denial.count + more)
        kind.group = replace(kind.group, denial=denial)
        if len(text.sharing) > 1 and denial.owner:
            # only the first one's process is known
            shared = DenialGroup(text.sharing, replace(denial, owner=None))
            kind.group = name_group(shared, self.names)
        self._texts.move_to_end(event.text)
        self._kinds.move_to_end(text.key)
        yield from self._often(kind, now)

    def _new(self, group: DenialGroup, now: float) -> Iterator[Told]:
        kind = _Kind(group)
        for gone in _keep(self._kinds, group.key, kind):
            self._left += gone.group.denial.count
        window = self._windows.get(group.ctids)
        if window is None or now - window.began >= _WINDOW:
            if window is not None and window.hidden:
                yield self._hidden(group, window.hidden)
            window = _Window(now)
            _keep(self._windows, group.ctids, window)
        if window.shown < MOST_SHOWN:
            window.shown += 1
            kind.told, kind.told_at = group.denial.count, now
            yield self._told("denial", kind, f"{became(group.denial)}{_times(group)}")
            return
        window.hidden += 1
        if window.hidden == 1:
            yield self._hidden(group, 0)

    def _often(self, kind: _Kind, now: float) -> Iterator[Told]:
        """Tell how often it was, if that is worth another line. What was hidden stays it."""
        count, was = kind.group.denial.count, kind.told
        due = now - kind.told_at >= _AGAIN_AFTER and count > was
        if was and (due or count >= was * _OFTENER):
            kind.told, kind.told_at = count, now
            denial = kind.group.denial
            yield self._told(
                "again", kind, f"{became(denial)} {count}x since {time_text(denial.first)}"
            )

    def _flood(self, event: MoreKinds, now: float) -> Iterator[Told]:
        known = self._floods.get(event.profile)
        before, first = (known.before, known.flood.first) if known else (0, event.at)
        if known and before + event.lines < known.flood.lines:
            # the node has forgotten it meanwhile, and counts anew
            before = known.flood.lines
        lines = before + event.lines
        due = known is None or now - known.told_at >= _AGAIN_AFTER
        told_at = now if known is None or due else known.told_at
        flood = Flood(event.profile, lines, first, event.at)
        _keep(self._floods, event.profile, _Flood(flood, told_at, before))
        if due:
            text = f"{time_text(event.at)} {self.node}: {flood_text(event.profile, lines)}"
            data = {"profile": printable(event.profile), "lines": lines}
            yield self._tell("flood", text, data)

    def _hidden(self, group: DenialGroup, hidden: int) -> Told:
        more = f"{hidden} new kinds were" if hidden else "more new kinds than are shown are"
        text = f"{self.node}: {group.who}: flood: {more} counted for the summary only"
        return self._tell("flood", text, {"ctids": list(group.ctids), "hidden": hidden})

    def _told(self, event: str, kind: _Kind, became: str) -> Told:
        group, one = kind.group, kind.group.denial
        text = f"{time_text(one.last)} {self.node}: {group.who}: {became}: {denial_text(one)}"
        if event == "denial":
            text += f": {group.next_step}"
        return self._tell(event, text, group_data(group))

    def _aside(self, event: str, text: str, **data: object) -> Told:
        return replace(self._tell(event, f"{self.node}: {text}", data), aside=True)

    def _tell(self, event: str, text: str, data: Mapping[str, object]) -> Told:
        return Told(printable(text, None), {"event": event, "node": self.node, **data})


def _times(group: DenialGroup) -> str:
    return f" {group.denial.count}x" if group.denial.count > 1 else ""


def _keep(kept: OrderedDict[Any, V], key: object, value: V) -> list[V]:
    """Keep it as the newest; gives those that went, where there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    return [kept.popitem(last=False)[1] for _ in range(len(kept) - MOST_KINDS)]
