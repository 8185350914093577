"""Whether the conf that a start leaves is the one that we put there: a hook may have undone us.

Proxmox writes LXC's configuration and runs the container's hookscript then (pve-container LXC.pm,
`vm_start`). What that writes into the conf counts from the next start on: no label shows it now.
"""

from __future__ import annotations

from phoenix.apparmor.observed import HOOK
from phoenix.pve.conf import PveConf, Section
from phoenix.pve.hooks import hook_lines
from phoenix.pve.keys import modern_key
from phoenix.text.printable import printable

_PROFILE = "lxc.apparmor.profile"
#: Lines on which confinement rests, whoever brought them: of others there may be none but ours.
_CONFINES = ("lxc.apparmor.", "lxc.include")


def undone(ours: bytes, before: bytes, found: bytes) -> str:
    """In what the next start would be another one than ours, in words; "" for nothing.

    `ours`: the conf that we put in place of `before`; `found`: the one that is there. What else
    somebody writes into it is their affair.
    """
    wanted, had, has = (_raw(PveConf.from_bytes(one).main) for one in (ours, before, found))
    profile = has.get(_PROFILE, [""])[-1]
    words = []
    if profile != wanted.get(_PROFILE, [""])[-1]:
        words.append(f"says {_PROFILE}: {profile}" if profile else f"has no {_PROFILE}")
    for key in {**wanted, **has}:
        if key == _PROFILE:
            continue
        mine, old, now = (one.get(key, []) for one in (wanted, had, has))
        confines = key.startswith(_CONFINES)
        brought = mine if confines else [one for one in mine if one not in old]
        words += [f"lacks {key}: {one}" for one in brought if one not in now]
        words += [f"has {key}: {one}" for one in now if confines and one not in mine]
    return printable(", ".join(words), limit=300)


def rewrote(found: bytes, *ours: bytes) -> bool:
    """Whether a conf is one of ours with a hook, but for its raw lines: that may have changed them.

    A hook that only `found` has is somebody's edit, as any change is where ours has none.
    """
    has = PveConf.from_bytes(found)
    return any(hooks(base) and _rest(PveConf.from_bytes(base)) == _rest(has) for base in ours)


def hooks(conf: bytes) -> str:
    """What of a conf runs on the node at a start, in words, ours aside; "" for nothing."""
    main = PveConf.from_bytes(conf).main
    script = main["hookscript"]
    found = [f"hookscript {script}"] if script else []
    found += [f"{key} {value}" for key, value in hook_lines(main, HOOK)]
    return printable(", ".join(found), limit=300)


def culprit(conf: bytes) -> str:
    """Who has undone a conf of ours at its start, as far as it tells."""
    if names := hooks(conf):
        return f"its {names}"
    pending = PveConf.from_bytes(conf).pending
    if pending and pending.raw_items():
        # the parser keeps raw lines of [pve:pending], and a start puts them in the place of all
        return "what waited in [pve:pending]"
    return "something on the node"


def _raw(section: Section) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in section.raw_items():
        found.setdefault(modern_key(key), []).append(value)
    return found


def _rest(conf: PveConf) -> list[str]:
    """All but the raw lines and blanks; Proxmox sorts what it writes itself."""
    lines = (line for section in conf.sections for line in section.lines)
    return sorted(line.text.strip() for line in lines if line.kind not in ("raw", "blank"))
