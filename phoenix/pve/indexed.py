"""Indexed entries of a conf, `mp0` ... and `dev0` ...: which ones are to be added.

An entry of the operator is never renumbered, changed or removed. Two entries are equal when
they say the same, whatever their number and the order of their options.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from phoenix.pve.conf import PveConf, Section

# $MAX_MOUNT_POINTS and $MAX_DEVICES of pve-container LXC/Config.pm
LIMIT = 256

Meaning = Mapping[str, object]


# Reads the value of one entry into what it means; raises ValueError for a bad one.
Reader = Callable[[str], Meaning]


@dataclass(frozen=True)
class EntryPlan:
    """What has to happen to the indexed entries.

    `new`, `changed` and `removed` hold (key, value); the latter two concern only entries that a
    former run brought. `present`: wanted and there already, kept as they are. `conflicts`:
    sentences about entries of others that stand in the way; what they block is not added.
    """

    new: tuple[tuple[str, str], ...] = ()
    changed: tuple[tuple[str, str], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    present: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.removed)

    def apply(self, conf: PveConf) -> PveConf:
        """Carry the plan out on the conf that it was made for."""
        for key, _ in self.removed:
            conf = conf.drop_key(key)
        for key, value in (*self.changed, *self.new):
            conf = conf.set_key(key, value)
        return conf


def plan_numbered(
    conf: PveConf,
    wanted: Sequence[str],
    *,
    prefix: str,
    place: str,
    read: Reader,
    managed_before: Iterable[str] = (),
) -> EntryPlan:
    """Compare the wanted values with the entries `prefix0`, `prefix1`, ... of the main section.

    `place` names the value that can stand only once in a container (`mp`, `path`). A number in
    front of a wanted value (`mp0: ...`) is ignored. `managed_before`: values that a former run
    added. Raises ValueError for a wanted value that Proxmox would refuse.
    """
    entry = re.compile(rf"{prefix}(\d+)")
    there = _entries(conf.main, entry)
    waiting = _entries(conf.pending, entry) if conf.pending else {}
    doomed = pending_deletes(conf)
    taken = {*there, *waiting}
    managed = [_try(read, value) for value in managed_before]

    new: list[tuple[str, str]] = []
    changed: list[tuple[str, str]] = []
    present: list[tuple[str, str]] = []
    conflicts: list[str] = []
    meanings: dict[object, Meaning] = {}
    for text in wanted:
        value = re.sub(rf"^\s*{prefix}\d+\s*[:=]\s*", "", text).strip(" \t")
        meaning = read(value)
        target = meaning[place]
        if target in meanings:
            if meanings[target] != meaning:
                raise ValueError(f"{prefix}: {target} is wanted twice, in two ways")
            continue
        meanings[target] = meaning
        here = {key: found for key, found in there.items() if _at(read, found, place) == target}
        equal = [key for key, found in here.items() if _try(read, found) == meaning]
        mine = [key for key, found in here.items() if _try(read, found) in managed]
        queued = [key for key, found in waiting.items() if _at(read, found, place) == target]
        if equal:
            present.append((equal[0], there[equal[0]]))
            if equal[0] in doomed:
                conflicts.append(f"{equal[0]}: its removal waits in [pve:pending]")
        elif queued:
            conflicts.append(f"{queued[0]}: {waiting[queued[0]]} waits in [pve:pending]")
        elif here and not mine:
            key = next(iter(here))
            conflicts.append(f"{key}: {here[key]} takes the place of {value} and stays")
        elif mine:
            changed.append((mine[0], value))
        else:
            key = _free(prefix, taken)
            taken.add(key)
            new.append((key, value))
    removed = [
        (key, found)
        for key, found in there.items()
        if _try(read, found) in managed and _at(read, found, place) not in meanings
    ]
    return EntryPlan(tuple(new), tuple(changed), tuple(removed), tuple(present), tuple(conflicts))


def _entries(section: Section, entry: re.Pattern[str]) -> dict[str, str]:
    return {key: section[key] or "" for key in section if entry.fullmatch(key)}


def pending_deletes(conf: PveConf) -> set[str]:
    """The keys whose removal waits in `[pve:pending]`."""
    # pve-guest-common AbstractConfig.pm parse_pending_delete: names, "!" in front forces
    text = (conf.pending and conf.pending["delete"]) or ""
    return {name.lstrip("!") for name in re.split(r"[,;\s]+", text) if name}


def _free(prefix: str, taken: set[str]) -> str:
    for number in range(LIMIT):
        if f"{prefix}{number}" not in taken:
            return f"{prefix}{number}"
    raise ValueError(f"{prefix}: all {LIMIT} numbers are taken")


def _try(read: Reader, value: str) -> Meaning | None:
    """What an entry means, None for one that cannot be read: it is left alone."""
    try:
        return read(value)
    except ValueError:
        return None


def _at(read: Reader, value: str, place: str) -> object:
    meaning = _try(read, value)
    return None if meaning is None else meaning[place]
