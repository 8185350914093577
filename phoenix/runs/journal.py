"""What the journal of a run says: a closed schema, read and written here.

A node keeps one folder per run. Its `journal.jsonl` has a flat JSON object a line: an `intent`
before anything is changed, with the digest of what is there and of what shall be there, then `done`
with what was found afterwards, or `restored`, `refused`, `failed`. It begins with a line that names
its format and, if this run rolls back another one, that.

Rollback writes what a journal names, as root: one that does not fit the schema is refused whole.
Journals of the version before (format 1, without a line that says so) were put together as text in
which a guest had a word: of these the order is checked, too, and whose images they name.

Packed into the node's program: Python 3.9, the standard library and modules of this package that
are packed as well (`node.pack.SHARED`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from phoenix.apparmor.observed import PROFILE_NAME
from phoenix.docker.names import DAEMON_JSON, DRIVER_NAME, PACKAGE_NAME
from phoenix.pve.ha import RUNS
from phoenix.runs.record import NONE, RUN_ID, Change, Outcome, RunRecord, Thing, is_of_node
from phoenix.text.printable import printable

#: The format of the journals that are written now.
FORMAT = 2

#: Why it went `back`: what runs at a start took ours out of the conf again.
UNDONE = "undone"

#: HA had no word of what it is asked for: it is `started`.
HA_DEFAULT = "default"

#: The longest line, in bytes.
LONGEST_LINE = 64 * 1024

_ENDS = ("done", "restored", "refused", "failed")

# kinds of entries that are about a file of the node
_OF_NODE = ("file", "profile")
# the digest of an empty file
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# what an entry is about, by kind
_ABOUT = {
    "begin": (),
    "conf": ("ctid", "file"),
    "daemon.json": ("ctid", "file"),
    "packages": ("ctid", "packages"),
    "removed": ("ctid", "removed"),
    "profile": ("profile",),
    "file": ("file",),
    "ha": ("ctid", "ha"),
    "container": ("ctid",),
}
# the events of each kind and their other keys; `?`: may be missing
_EVENTS: Mapping[str, Mapping[str, str]] = {
    "begin": {"begin": "format undoes?"},
    "conf": {
        "intent": "before after ours",
        "started": "after",
        "back": "why?",
        "done": "after",
        "restored": "after kept?",
        "refused": "",
        "failed": "after? kept?",
    },
    "daemon.json": {
        "intent": "before after driver_before driver",
        "done": "after",
        "restored": "after",
        "refused": "",
        "failed": "",
    },
    "packages": {"intent": "", "done": "", "failed": ""},
    "removed": {"intent": "", "done": "", "failed": ""},
    "profile": {"intent": "before after", "done": "after", "restored": "after"},
    "file": {"intent": "before after", "done": "after before?", "restored": "after"},
    # intent: HA is told to ignore it; held: it could not be put back yet; done: it is, or it is no
    # more ours to put back
    "ha": {"intent": "", "held": "", "done": ""},
}
# where format 1 differs; "container" speaks of all that is open of one
_EVENTS_1: Mapping[str, Mapping[str, str]] = {
    **_EVENTS,
    "begin": {"begin": "undoes"},
    "conf": {
        **_EVENTS["conf"],
        "intent": "before after ours?",
        "back": "",
        "restored": "after",
        "failed": "after?",
    },
    "daemon.json": {
        **_EVENTS["daemon.json"],
        "intent": "before after driver_before? driver?",
    },
    "container": dict.fromkeys(_ENDS, "after?"),
    "ha": {},
}

_DIGEST = re.compile(rf"[0-9a-f]{{64}}|{NONE}")
_PACKAGES = re.compile(rf"(?:{PACKAGE_NAME.pattern}(?: {PACKAGE_NAME.pattern})*)?")
_DRIVER = re.compile(rf"(?:{DRIVER_NAME.pattern})?")
_VALUES = {
    "time": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
    "undoes": RUN_ID,
    "profile": PROFILE_NAME,
    "before": _DIGEST,
    "after": _DIGEST,
    "ours": _DIGEST,
    "kept": _DIGEST,
    "packages": _PACKAGES,
    "removed": _PACKAGES,
    "driver_before": _DRIVER,
    "driver": _DRIVER,
    "why": re.compile(UNDONE),
    "ha": re.compile("|".join((*RUNS, HA_DEFAULT))),
}


class JournalError(ValueError):
    """A journal that does not fit the schema, or an entry that would not.

    `run`: its id, "" for an entry; `line`: counted from 1, 0 for the journal as a whole.
    """

    def __init__(self, run: str, line: int, reason: str) -> None:
        self.run, self.line, self.reason = run, line, reason
        where = f"run {printable(run)}: journal line {line}" if run else "journal entry"
        super().__init__(f"{where}: {reason}")


class _UnfitError(ValueError):
    """Why a line does not fit, in words."""


def read_journal(run: str, text: str | Iterable[str]) -> RunRecord:
    """Read a journal, as one text or as its lines. Raises JournalError if any of it does not fit.

    Only the very last line may be cut short, as a crash leaves it: it is skipped. In format 1 one
    such line may have others behind it, those of whoever recovered it.

    >>> read_journal("r20261122T013000Z-beef", '{"time":"2026-11-22T01:30:07Z","event":"begin",'
    ...     '"format":2}').format
    2
    """
    lines = (text if isinstance(text, str) else "\n".join(text)).split("\n")
    ends_whole = lines[-1] == ""
    if ends_whole:
        lines.pop()
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        try:
            reader.read(number, line, may_be_cut=number == len(lines) and not ends_whole)
        except _UnfitError as error:
            raise JournalError(run, number, str(error)) from None
    try:
        reader.check_images()
    except _UnfitError as error:
        raise JournalError(run, reader.at, str(error)) from None
    changes = tuple(reader.changes.values())
    return RunRecord(run, changes, reader.undoes, reader.format, reader.ha)


def entry(event: str, **keys: str | int) -> str:
    """One line of a journal of format 2, without its end. Raises JournalError if it does not fit.

    `keys` are those of its kind: `time`, as `YYYY-MM-DDTHH:MM:SSZ`, what it is about (`ctid` and
    `file`, `packages` or `removed`; or `profile`; or `file`), and what its event asks for.

    >>> entry("back", time="2026-11-22T01:30:07Z", ctid=910, file="/etc/pve/lxc/910.conf")
    '{"time":"2026-11-22T01:30:07Z","ctid":910,"event":"back","file":"/etc/pve/lxc/910.conf"}'
    """
    first: dict[str, Any] = {key: keys[key] for key in ("time", "ctid") if key in keys}
    found: dict[str, Any] = {**first, "event": event, **keys}
    try:
        _check(found, FORMAT)
        line = json.dumps(found, separators=(",", ":"))
        if len(line) > LONGEST_LINE:
            raise _UnfitError("longer than 64 KiB")
    except _UnfitError as error:
        raise JournalError("", 0, str(error)) from None
    return line


class _Reader:
    """A journal on its way from lines to changes."""

    def __init__(self) -> None:
        self.format = 1
        self.undoes: str | None = None
        self.changes: dict[Thing, Change] = {}
        self.ha: dict[int, str] = {}
        self.entries: list[tuple[int, str, Mapping[str, Any]]] = []
        #: the line at hand
        self.at = 0
        self.cut = False
        self.commit: int | None = None
        self.committed: set[int] = set()

    def read(self, number: int, line: str, may_be_cut: bool) -> None:
        """Take in one line. Raises _UnfitError."""
        self.at = number
        found = _parsed(line)
        if found is None:
            if may_be_cut:
                return
            # the script that recovered a crash ended the line that the crash had cut off
            if self.format == 1 and not self.cut and line.startswith('{"time":"'):
                self.cut = True
                return
            raise _UnfitError("no JSON object")
        if number == 1 and "format" in found:
            self.format = FORMAT
        kind = _check(found, self.format)
        event = found["event"]
        if kind == "begin":
            if number != 1:
                raise _UnfitError("a run begins only once")
            self.undoes = found.get("undoes")
            return
        if self.format == 1:
            self._check_order(kind, event, found.get("ctid"))
            self.entries.append((number, kind, found))
        if kind == "ha" and event == "done":
            self.ha.pop(found["ctid"], None)
        elif kind == "ha":
            self.ha[found["ctid"]] = found["ha"]
        for thing in _things(kind, found, self.changes):
            if event == "intent":
                self.changes[thing] = _intended(thing, found, self.changes.get(thing))
            elif event in _ENDS and thing in self.changes:
                self.changes[thing] = _ended(self.changes[thing], event, found)

    def _check_order(self, kind: str, event: str, ctid: int | None) -> None:
        """Hold a line of format 1 against the order in which the scripts wrote.

        What a guest said could hold whole lines then. But it was written within the commit of that
        guest, whose last line had no word of it: there nothing may speak of anything else, and
        a commit that has ended has no second one in the same run.
        """
        if kind not in ("conf", "daemon.json", "container"):
            if self.commit is not None:
                raise _UnfitError(f"it stands within the commit of CT {self.commit}")
            return
        begins = kind == "conf" and event == "intent"
        if ctid in self.committed or self.commit not in ((None, ctid) if begins else (ctid,)):
            raise _UnfitError(f"CT {ctid} has no commit that this could belong to")
        self.commit = ctid
        if ctid is not None and kind != "daemon.json" and event in _ENDS:
            self.commit = None
            self.committed.add(ctid)

    def check_images(self) -> None:
        """See that each image goes back to what it was of only. Raises _UnfitError.

        In format 1 the before-images of guests lie among those of the node. Two guests that had
        the same file may get the same one: but then all of the change is the same. No file of the
        node can have been a conf, or another file of the node; of a conf more is known, what was
        staged for it (`phoenix.plan.rollback`).
        """
        intents = [one for one in self.entries if one[2]["event"] == "intent"]
        guests = {
            (found["ctid"], found["before"], found["after"])
            for _, kind, found in intents
            if kind == "daemon.json"
        }
        images = {digest for _, before, after in guests for digest in (before, after)} - {NONE}
        for self.at, kind, found in intents:
            if kind != "daemon.json":
                theirs = images & {found.get("before"), found.get("ours")}
            else:
                change = (found["before"], found["after"])
                theirs = {found["before"]} & {
                    digest
                    for ctid, *other in guests
                    if ctid != found["ctid"] and tuple(other) != change
                    for digest in other
                } - {NONE}
            if theirs:
                raise _UnfitError(f"{min(theirs)[:12]} is what a guest had, not what was here")
        was: dict[str, str] = {}
        # files of the node come last: what they were must be of nothing else
        for self.at, kind, found in sorted(intents, key=lambda one: one[1] in _OF_NODE):
            thing = str(found.get("profile") or found.get("file"))
            for digest in {found.get("before", NONE), found.get("ours", NONE)} - {NONE, _EMPTY}:
                if was.setdefault(digest, thing) != thing and kind in _OF_NODE:
                    raise _UnfitError(f"{digest[:12]} is what {was[digest]} was, not {thing}")


def _parsed(line: str) -> Mapping[str, Any] | None:
    """A line as an object, None for what is no JSON object. Raises _UnfitError."""
    # all that fits is ASCII: characters are bytes
    if len(line) > LONGEST_LINE:
        raise _UnfitError("longer than 64 KiB")
    try:
        found = json.loads(line, object_pairs_hook=_flat)
    except (json.JSONDecodeError, RecursionError):
        return None
    except _UnfitError:
        raise
    except ValueError:
        # a number of thousands of digits
        raise _UnfitError("a number that is none of ours") from None
    return found if isinstance(found, dict) else None


def _flat(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _UnfitError(f'duplicate key "{printable(key)}"')
        if type(value) not in (str, int):
            raise _UnfitError(f'key "{printable(key)}" is neither a text nor a number')
        found[key] = value
    return found


def _check(entry: Mapping[str, Any], version: int) -> str:
    """Hold an entry against the schema; gives its kind. Raises _UnfitError."""
    event = entry.get("event")
    kind = _kind(entry)
    events = (_EVENTS if version == FORMAT else _EVENTS_1).get(kind, {})
    if not isinstance(event, str) or event not in events:
        raise _UnfitError(f"no event of ours for {kind or 'nothing'}: {printable(str(event))}")
    asked = events[event].split()
    must = {"event", *_ABOUT[kind], *(key for key in asked if key[-1] != "?")}
    may = {key[:-1] for key in asked if key[-1] == "?"}
    # rollback opened its journals without a time
    (may if kind == "begin" and version == 1 else must).add("time")
    if odd := sorted(entry.keys() - must - may):
        raise _UnfitError(f'key "{printable(odd[0])}" does not belong to {event} of {kind}')
    if missing := sorted(must - entry.keys()):
        raise _UnfitError(f'{event} of {kind} lacks the key "{missing[0]}"')
    for key, value in entry.items():
        if not _is_fit(kind, key, value, entry):
            # a guest or a conf that did not answer was written down as ""
            if version == 1 and event == "done" and key == "after" and value == "":
                continue
            raise _UnfitError(f'key "{key}" has a value that is none of ours')
    return kind


def _kind(entry: Mapping[str, Any]) -> str:
    """What an entry is about, by its keys; "" for nothing of ours."""
    if entry.get("event") == "begin":
        return "begin"
    for key in ("profile", "packages", "removed", "ha"):
        if key in entry:
            return key
    if "file" not in entry:
        return "container" if "ctid" in entry else ""
    if "ctid" not in entry:
        return "file"
    return "daemon.json" if entry["file"] == DAEMON_JSON else "conf"


def _is_fit(kind: str, key: str, value: object, entry: Mapping[str, Any]) -> bool:
    if key == "ctid":
        return type(value) is int and 100 <= value <= 999_999_999
    if key == "format":
        return type(value) is int and value == FORMAT
    if not isinstance(value, str):
        return False
    if key == "event":
        return True
    if key == "file":
        if kind == "file":
            return is_of_node(value)
        return value in (DAEMON_JSON, f"/etc/pve/lxc/{entry['ctid']}.conf")
    return _VALUES[key].fullmatch(value) is not None


def _things(kind: str, entry: Mapping[str, Any], known: Mapping[Thing, Change]) -> Sequence[Thing]:
    """What an entry speaks of; one that names no file ends all that is open of its container."""
    ctid = entry.get("ctid")
    if kind == "profile":
        return [Thing(f"/etc/apparmor.d/{entry['profile']}")]
    if kind == "packages":
        return [Thing("", ctid)]
    if kind in ("removed", "ha"):
        # a rollback takes them out, and HA's state is put back by the run itself: nothing that
        # would be rolled back
        return []
    if kind == "container":
        return [t for t, c in known.items() if t.ctid == ctid and t.path and c.outcome == "open"]
    return [Thing(entry["file"], ctid)]


def _intended(thing: Thing, entry: Mapping[str, Any], earlier: Change | None) -> Change:
    change = Change(
        thing,
        entry.get("before", NONE),
        entry.get("after", NONE),
        packages=tuple(entry.get("packages", "").split()),
        managed=entry.get("ours", NONE),
        driver_before=entry.get("driver_before", ""),
        driver=entry.get("driver", ""),
        planned=entry.get("after", NONE),
    )
    # twice in one run (planned anew): what was there before the first counts
    if earlier and earlier.stands:
        was = earlier.driver_before
        return replace(change, before=earlier.before, managed=earlier.managed, driver_before=was)
    return change


def _ended(change: Change, event: Outcome, entry: Mapping[str, Any]) -> Change:
    if event == "done" and "packages" in entry:
        return replace(change, outcome=event, packages=tuple(entry["packages"].split()))
    return replace(change, outcome=event, after=entry.get("after", change.after))
