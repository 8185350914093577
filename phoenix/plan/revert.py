"""Taking a run's changes out of a conf that somebody has changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from phoenix.pve.conf import PveConf, Section
from phoenix.pve.features import Features
from phoenix.pve.raw_keys import REPEATED_KEYS


def revert(
    before: PveConf, after: PveConf, now: PveConf, force: bool = False
) -> tuple[PveConf, tuple[str, ...]]:
    """Revert in `now` what a run changed from `before` to `after`, and leave the rest.

    The second value names each key that somebody has changed since, with both values: there the
    newer one stays, unless `force`. Raises ValueError for a value that Proxmox would not read back,
    and for a features line that cannot be read.
    """
    old, new, current = (_plain(conf.main) for conf in (before, after, now))
    conf = now
    values, conflicts = _merged(old, new, current, force)
    for key in current.keys() - values.keys():
        conf = conf.drop_key(key)
    for key, value in values.items():
        if current.get(key) != value:
            conf = conf.set_key(key, value)

    sides = [Features.parse(one.main["features"]) for one in (before, after, now)]
    features, more = _merged(sides[0], sides[1], sides[2], force)
    conflicts += [f"features: {conflict}" for conflict in more]
    if features != dict(sides[2]):
        line = str(Features(features))
        conf = conf.set_key("features", line) if line else conf.drop_key("features")

    for key in dict.fromkeys(key for one in (before, after) for key, _ in one.main.raw_items()):
        conf = _raw(key, before, after, conf, conflicts, force)
    return conf, tuple(conflicts)


def _merged(
    old: Mapping[str, str], new: Mapping[str, str], current: Mapping[str, str], force: bool
) -> tuple[dict[str, str], list[str]]:
    """`current` without the step from `old` to `new`, and where that cannot be told apart."""
    values, conflicts = dict(current), []
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) == new.get(key) or current.get(key) == old.get(key):
            continue
        if current.get(key) != new.get(key) and not force:
            conflicts.append(_conflict(key, current.get(key), new.get(key)))
        elif key in old:
            values[key] = old[key]
        else:
            values.pop(key, None)
    return values, conflicts


def _raw(
    key: str, before: PveConf, after: PveConf, conf: PveConf, conflicts: list[str], force: bool
) -> PveConf:
    old, new, current = (one.main.raw(key) for one in (before, after, conf))
    if old == new or current == old:
        return conf
    if key.startswith(REPEATED_KEYS):
        for value in Counter(new) - Counter(old):
            conf = conf.remove_raw(key, value)
        for value in Counter(old) - Counter(new):
            conf = conf.add_raw(key, value)
        return conf
    if current != new and not force:
        conflicts.append(_conflict(key, " and ".join(current), " and ".join(new)))
        return conf
    return conf.set_raw(key, old[-1]) if old else conf.drop_raw(key)


def _plain(section: Section) -> dict[str, str]:
    return {key: section[key] or "" for key in section if key != "features"}


def _conflict(key: str, current: str | None, new: str | None) -> str:
    return f"{key} is {current or 'gone'} now, the run had made it {new or 'go'}"
