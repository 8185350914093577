"""`/etc/pve/lxc/CTID.conf`, read as Proxmox reads it and edited line by line.

The text is the truth: a `PveConf` holds it unchanged, so that
`PveConf.parse(text).render() == text` for every text. Lines end at `\\n` and nowhere else
(pve-container `PVE/LXC/Config.pm`, `parse_pct_config`: `split(/\\n/, $raw)`); a CR before it
is blank space at the end of the value.

Bytes become text by UTF-8 with `surrogateescape`, both ways: `from_bytes` and `to_bytes` are
exact inverses whatever the bytes, and `digest` is computed on the bytes.

Packed into the node's program: Python 3.9 and the standard library.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from phoenix.pve.keys import raw_key_problem
from phoenix.pve.values import check_value, normal_raw_value, same_raw_value

Kind = Literal["blank", "header", "comment", "raw", "key", "junk"]

MAIN = ""
PENDING = "pve:pending"

#: The raw lines in which Proxmox keeps its property `env` (pve-container since 6.0.15).
ENVIRONMENT = "lxc.environment.runtime"

# The expressions of parse_pct_config, tried in its order. Perl sees bytes: \s is ASCII only.
_BLANKS = " \t\n\r\f\v"
_PENDING = re.compile(r"\[pve:pending\]\s*$", re.ASCII | re.IGNORECASE)
_SNAPSHOT = re.compile(r"\[([a-z][a-z0-9_\-]+)\]\s*$", re.ASCII | re.IGNORECASE)
_RAW = re.compile(r"(lxc\.[a-z0-9_\-.]+)(?::|\s*=)\s*(.*?)\s*$", re.ASCII)
_DESCRIPTION = re.compile(r"description:\s*(.*\S)\s*$", re.ASCII)
_SNAPSTATE = re.compile(r"snapstate:\s*(prepare|delete)\s*$", re.ASCII)
_DELETE = re.compile(r"delete:\s*(.*\S)\s*$", re.ASCII)
_KEY = re.compile(r"([a-z][a-z_]*\d*):\s*(.+?)\s*$", re.ASCII)

_PLAIN_NAME = re.compile(r"[a-z][a-z_]*\d*", re.ASCII)
_RAW_NAME = re.compile(r"lxc\.[a-z0-9_\-.]+", re.ASCII)
#: So many variables of `env` are named.
_SHOWN = 5
_NOT_SETTABLE = {"description", "delete", "snapstate"}


@dataclass(frozen=True)
class Line:
    """One line of the file and what Proxmox makes of it.

    `text` is the line as it stands, ending included; `key` and `value` are filled for the
    kinds `raw` and `key` (the value trimmed); a `comment` has its text as the value.
    """

    text: str
    kind: Kind
    key: str = ""
    value: str = ""

    @classmethod
    def parse(cls, text: str, *, pending: bool = False) -> Line:
        """Classify one line; `pending`: it stands in `[pve:pending]`. Never raises.

        Source: pve-container `LXC/Config.pm parse_pct_config`.
        """
        body = text.removesuffix("\n")
        if not body.strip(_BLANKS):
            return cls(text, "blank")
        # most lines are plain keys: of what else they may be only the beginning is looked at
        if body.startswith("["):
            if _PENDING.match(body):
                return cls(text, "header", PENDING)
            if match := _SNAPSHOT.match(body):
                return cls(text, "header", match[1])
        if body.startswith("#"):
            return cls(text, "comment", "#", body[1:])
        if body.startswith("lxc.") and (match := _RAW.match(body)):
            kind: Kind = "junk" if raw_key_problem(match[1]) else "raw"
            return cls(text, kind, match[1], match[2])
        if body.startswith("description:") and (match := _DESCRIPTION.match(body)):
            return cls(text, "comment", "description", match[1])
        # not anchored there either
        if "snapstate:" in body and (match := _SNAPSTATE.search(body)):
            return cls(text, "key", "snapstate", match[1])
        if body.startswith("delete:") and (match := _DELETE.match(body)):
            return cls(text, "key" if pending else "junk", "delete", match[1])
        if match := _KEY.match(body):
            return cls(text, "key", match[1], match[2])
        return cls(text, "junk")

    @property
    def ending(self) -> str:
        """The line's own ending: CR LF, LF, or nothing on an unfinished last line."""
        if self.text.endswith("\r\n"):
            return "\r\n"
        return "\n" if self.text.endswith("\n") else ""


@dataclass(frozen=True)
class Section:
    """A section of the conf: its name ("" for the main one) and its lines, header excluded."""

    name: str
    lines: tuple[Line, ...]

    def __getitem__(self, key: str) -> str | None:
        """The value that Proxmox uses for a plain key, None when it is not there.

        Of several equal keys the last one counts (`parse_pct_config`: `$conf->{$key} = $value`).
        """
        return next((self.lines[place].value for place in reversed(self.places("key", key))), None)

    def __contains__(self, key: object) -> bool:
        return ("key", key) in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def get(self, key: str, default: str | None = None) -> str | None:
        """The value of a plain key, or `default`."""
        value = self[key]
        return default if value is None else value

    def keys(self) -> tuple[str, ...]:
        """The plain keys, each once, in the order of their first lines."""
        return tuple(key for kind, key in self._index if kind == "key")

    def raw(self, key: str) -> tuple[str, ...]:
        """All values of a raw `lxc.` key, in file order.

        `lxc.key: v`, `lxc.key:v`, `lxc.key = v` and `lxc.key=v` are all read. LXC itself takes
        the last one of a key that can stand only once.
        """
        return tuple(self.lines[place].value for place in self.places("raw", key))

    def raw_items(self) -> tuple[tuple[str, str], ...]:
        """All raw lines as (key, value), in file order."""
        return tuple((line.key, line.value) for line in self.lines if line.kind == "raw")

    @property
    def description(self) -> str:
        """The comment lines, decoded: Proxmox keeps the description in them."""
        # loaded where it is needed: it takes a slow node longer than all of this module
        from urllib.parse import unquote

        return "".join(
            unquote(line.value, errors="replace") + ("\n" if line.key == "#" else "")
            for line in self.lines
            if line.kind == "comment"
        )

    @property
    def junk(self) -> tuple[str, ...]:
        """The lines that Proxmox drops, with a warning, at its next write; without endings."""
        return tuple(
            line.text.removesuffix(line.ending) for line in self.lines if line.kind == "junk"
        )

    def places(self, kind: Kind, key: str) -> Sequence[int]:
        """Where in `lines` those of a kind and key are, in file order."""
        return self._index.get((kind, key), ())

    @cached_property
    def _index(self) -> dict[tuple[Kind, str], list[int]]:
        found: dict[tuple[Kind, str], list[int]] = {}
        for place, line in enumerate(self.lines):
            found.setdefault((line.kind, line.key), []).append(place)
        return found


@dataclass(frozen=True)
class PveConf:
    """A container's conf. Edits return a new one and touch the main section only.

    An edit that changes nothing returns an equal text. Values that Proxmox would read as
    something else raise `ValueError`.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> PveConf:
        """Read a conf. Any text is a conf: Proxmox skips what it does not understand."""
        return cls(text)

    @classmethod
    def from_bytes(cls, data: bytes) -> PveConf:
        """Read a conf from the bytes of the file."""
        return cls(data.decode("utf-8", "surrogateescape"))

    def render(self) -> str:
        """The text of the file."""
        return self.text

    def to_bytes(self) -> bytes:
        """The bytes of the file."""
        return self.text.encode("utf-8", "surrogateescape")

    @property
    def digest(self) -> str:
        """SHA-1 of the file, as `pct set --digest` compares it (`sha1_hex($raw)`)."""
        return hashlib.sha1(self.to_bytes(), usedforsecurity=False).hexdigest()

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, by which a run tells whether somebody changed it since."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    # -- reading --------------------------------------------------------------------------

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Every section in file order, the main one first, repeated ones included."""
        found: list[tuple[str, list[Line]]] = [(MAIN, [])]
        for text in re.findall(r"[^\n]*\n|[^\n]+", self.text):
            line = Line.parse(text, pending=found[-1][0] == PENDING)
            if line.kind == "header":
                found.append((line.key, []))
            else:
                found[-1][1].append(line)
        return tuple(Section(name, tuple(lines)) for name, lines in found)

    @property
    def main(self) -> Section:
        """The section that says how the container is."""
        return self.sections[0]

    @property
    def pending(self) -> Section | None:
        """What `pct set` left for the next start, None without such a section."""
        return self._by_name.get(PENDING)

    @property
    def waiting(self) -> tuple[str, ...]:
        """What the next start applies of `[pve:pending]`, in words without values: `memory`,
        `delete`, `env (TZ)`, `lxc.cap.drop`; nothing without such a section.

        pve-container `vm_start`: `vmconfig_apply_pending`, whatever starts the container.
        """
        if self.pending is None:
            return ()
        names = [key for key in self.pending if key != "snapstate"]
        if variables := self.pending.raw(ENVIRONMENT):
            # values may be secrets
            named = [value.partition("=")[0].strip() or "?" for value in variables[:_SHOWN]]
            names.append(f"env ({', '.join(named)}{', …' * (len(variables) > _SHOWN)})")
        return (*names, *self.waiting_raw)

    @property
    def waiting_raw(self) -> tuple[str, ...]:
        """The keys of the raw lines in `[pve:pending]`, those of `env` aside.

        Proxmox keeps raw lines as one value, so at the next start they take the place of *all* raw
        lines of the main section (`vmconfig_apply_pending`: `$conf->{lxc}`). No tool of its own
        writes such; a line appended to the file lands there.
        """
        found = self.pending.raw_items() if self.pending else ()
        return tuple(dict.fromkeys(key for key, _ in found if key != ENVIRONMENT))

    @property
    def snapshots(self) -> tuple[Section, ...]:
        """The snapshots; of two with one name Proxmox keeps the last."""
        return tuple(part for name, part in self._by_name.items() if name != PENDING)

    @property
    def snapshots_names(self) -> tuple[str, ...]:
        """The names of the snapshots."""
        return tuple(part.name for part in self.snapshots)

    @property
    def template(self) -> bool:
        """Is it a template? Templates never start."""
        return is_true(self.main["template"])

    @property
    def unprivileged(self) -> bool:
        """Does root in the container have a user id of its own on the node?"""
        return is_true(self.main["unprivileged"])

    @property
    def lock(self) -> str | None:
        """The reason of a lock that Proxmox holds (`backup`, `snapshot`, ...), or None."""
        return self.main["lock"]

    @property
    def hostname(self) -> str | None:
        """The host name in the conf."""
        return self.main["hostname"]

    # -- editing --------------------------------------------------------------------------

    def set_key(self, key: str, value: str) -> PveConf:
        """Give a plain key a value; a new line goes where Proxmox sorts it.

        Of several equal keys the last line, the one that counts, is changed.
        Raises ValueError for a value that is empty or would break out of its line.
        """
        if not _PLAIN_NAME.fullmatch(key) or key in _NOT_SETTABLE:
            raise ValueError(f"{key!r} is not a plain key of a container's conf")
        body = self._body("key", key, value)
        if self.main[key] == Line.parse(body).value:
            return self
        texts = self._main_texts()
        places = self.main.places("key", key)
        if places:
            texts[places[-1]] = body + self.main.lines[places[-1]].ending
        else:
            self._insert(texts, self._place_of_new_key(key), body)
        return self._with_main(texts)

    def drop_key(self, key: str) -> PveConf:
        """Remove every line of a plain key."""
        return self._without(self.main.places("key", key))

    def set_raw(self, key: str, value: str) -> PveConf:
        """Make a raw key stand exactly once, with this value.

        It takes the place of the first such line, else the end of the main section.
        Raises ValueError for a key that Proxmox drops or a value that would break out.
        """
        body = self._body("raw", key, value)
        places = self.main.places("raw", key)
        if not places:
            return self.add_raw(key, value)
        first = self.main.lines[places[0]]
        texts = self._main_texts()
        if not same_raw_value(key, first.value, value):
            texts[places[0]] = body + first.ending
        for place in reversed(places[1:]):
            del texts[place]
        return self._with_main(texts)

    def drop_raw(self, key: str) -> PveConf:
        """Remove every line of a raw key."""
        return self._without(self.main.places("raw", key))

    def add_raw(self, key: str, value: str) -> PveConf:
        """Add one of several equal raw keys at the end of the main section.

        Nothing happens when one with the same value is there, however it is written.
        Raises ValueError for a key that Proxmox drops or a value that would break out.
        """
        return self.add_raws([(key, value)])[0]

    def add_raws(
        self, lines: Iterable[tuple[str, str]]
    ) -> tuple[PveConf, tuple[tuple[str, str], ...]]:
        """Add many raw lines, each a key and a value, as `add_raw` does one after another.

        Gives those that were not there, too.
        """
        texts, place, added = self._main_texts(), self._end_of_main(), []
        there: dict[str, set[str]] = {}
        for key, value in lines:
            body = self._body("raw", key, value)
            if key not in there:
                there[key] = {normal_raw_value(key, found) for found in self.main.raw(key)}
            if (normal := normal_raw_value(key, value)) not in there[key]:
                there[key].add(normal)
                added.append((key, value, body))
        if not added:
            return self, ()
        self._insert(texts, place, *(body for _, _, body in added))
        return self._with_main(texts), tuple((key, value) for key, value, _ in added)

    def remove_raw(self, key: str, value: str) -> PveConf:
        """Remove every raw line of that key and value, however the value is written."""
        return self.remove_raws([(key, value)])

    def remove_raws(self, lines: Iterable[tuple[str, str]]) -> PveConf:
        """Remove every raw line of these keys and values."""
        gone = {(key, normal_raw_value(key, value)) for key, value in lines}
        found = self.main.lines
        return self._without(
            place
            for key in {key for key, _ in gone}
            for place in self.main.places("raw", key)
            if (key, normal_raw_value(key, found[place].value)) in gone
        )

    # -- helpers --------------------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Section]:
        return {part.name: part for part in self.sections[1:]}

    def _end_of_main(self) -> int:
        """The index behind the last line of the main section that is not blank."""
        lines = self.main.lines
        return next((i for i in range(len(lines), 0, -1) if lines[i - 1].kind != "blank"), 0)

    def _place_of_new_key(self, key: str) -> int:
        # write_pct_config: description first, `sort keys`, then the raw lines
        plain = [i for i, line in enumerate(self.main.lines) if line.kind == "key"]
        for i in plain:
            if self.main.lines[i].key > key:
                return i
        return plain[-1] + 1 if plain else self._end_of_main()

    def _body(self, kind: Kind, key: str, value: str) -> str:
        check_value(key, value)
        if kind == "raw":
            if not _RAW_NAME.fullmatch(key):
                raise ValueError(f"{key!r} is not a raw lxc key")
            if problem := raw_key_problem(key):
                raise ValueError(f"{key}: {problem}, and drops the line")
        value = value.strip(" \t")
        body = f"{key}: {value}" if value else f"{key}:"
        read = Line.parse(body)
        if (read.kind, read.key, read.value) != (kind, key, value):
            raise ValueError(f"{key}: Proxmox would not read {value!r} back as it is written")
        return body

    def _newline(self) -> str:
        ends = re.findall(r"\r?\n", self.text)
        return "\r\n" if 2 * ends.count("\r\n") > len(ends) else "\n"

    def _main_texts(self) -> list[str]:
        return [line.text for line in self.main.lines]

    def _insert(self, texts: list[str], place: int, *bodies: str) -> None:
        newline = self._newline()
        if place and not texts[place - 1].endswith("\n"):
            texts[place - 1] += newline
        texts[place:place] = [body + newline for body in bodies]

    def _without(self, places: Iterable[int]) -> PveConf:
        gone = set(places)
        return self._with_main(t for i, t in enumerate(self._main_texts()) if i not in gone)

    def _with_main(self, texts: Iterable[str]) -> PveConf:
        old = sum(len(line.text) for line in self.main.lines)
        return PveConf("".join(texts) + self.text[old:])


def is_true(value: str | None) -> bool:
    """Does Proxmox read a value as true? Source: `LXC/Config.pm check_type`, `boolean`."""
    return value is not None and re.fullmatch(r"1|on|yes|true", value, re.IGNORECASE) is not None
