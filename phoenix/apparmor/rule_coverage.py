"""Whether one AppArmor rule already gives everything that another one does.

Sound, not complete: `covers` says yes only where that holds for every access, and no where it
cannot tell. Syntax and meaning of the rules: apparmor.d(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from phoenix.apparmor.profile_text import Rule, listed

#: Patterns that match every absolute path.
EVERYWHERE = frozenset({"**", "/{,**}", "/{**,}"})

# without conditions, each of these gives its whole class
_CLASSES = frozenset(
    {"capability", "network", "mount", "remount", "umount", "pivot_root", "signal", "ptrace"}
    | {"unix", "dbus", "mqueue", "userns", "io_uring", "change_profile"}
)
_CONDITIONS = frozenset({"options", "option", "fstype", "vfstype"})
_PERMISSIONS = re.compile(r"[rwamlk]*(?:[pPcCuUi]*x)?[rwamlk]*")
_EXECUTE = re.compile(r"[pPcCuUi]*x")
# more stars than this in a pattern are not worth the time that matching may take
_MOST_STARS = 3
# each rule of a profile is compared with all others: read it once
_REMEMBERED = 2048


@dataclass(frozen=True)
class Mount:
    """A mount rule's conditions; None where it has none.

    `exact`: the flags of `options=(…)`, `subset`: those of `options in (…)`.
    """

    fstype: frozenset[str] | None = None
    exact: frozenset[str] | None = None
    subset: frozenset[str] | None = None
    source: str | None = None
    target: str | None = None

    @classmethod
    @lru_cache(_REMEMBERED)
    def parse(cls, rule: Rule) -> Mount | None:
        """Read a mount rule, or None where it is another rule or has conditions unknown here."""
        if rule.words[0] != "mount":
            return None
        found: dict[str, frozenset[str]] = {}
        paths: list[str | None] = [None, None]
        words = list(rule.words[1:])
        while words:
            word = words.pop(0)
            key, equals, value = word.partition("=")
            if key in ("options", "option", "fstype", "vfstype") and (
                equals or words[:1] == ["in"]
            ):
                if not equals:
                    value = words[1] if len(words) > 1 else ""
                    del words[:2]
                name = "fstype" if "fstype" in key else "exact" if equals else "subset"
                if name in found:
                    return None
                found[name] = frozenset(_flag(flag) for flag in listed(value))
            elif word == "->" and len(words) == 1:
                paths[1] = words.pop()
            elif paths[0] is None and word != "->":
                paths[0] = word
            else:
                return None
        return cls(found.get("fstype"), found.get("exact"), found.get("subset"), *paths)

    @property
    def flags(self) -> frozenset[str]:
        """All flags that its options name."""
        return (self.exact or frozenset()) | (self.subset or frozenset())

    @property
    def anywhere(self) -> bool:
        """Whether neither the source nor the target limits it."""
        return self.source in (None, *EVERYWHERE) and self.target in (None, *EVERYWHERE)

    def covers(self, other: Mount) -> bool:
        """Whether it allows every mount that the other one allows."""
        return (
            (self.source is None or _path_within(other.source, self.source))
            and (self.target is None or _path_within(other.target, self.target))
            and self._covers_type(other)
            and self._covers_flags(other)
        )

    def _covers_type(self, other: Mount) -> bool:
        if self.fstype is None:
            return True
        return other.fstype is not None and all(
            any(path_covers(mine, theirs) for mine in self.fstype) for theirs in other.fstype
        )

    def _covers_flags(self, other: Mount) -> bool:
        if self.exact is None and self.subset is None:
            return True
        if self.exact is None and self.subset is not None and other.flags:
            return other.flags <= self.subset
        return (self.exact, self.subset) == (other.exact, other.subset)


def covers(broad: Rule, narrow: Rule) -> bool:
    """Whether the rule `broad` already allows everything that the rule `narrow` allows."""
    if not (broad.allows and narrow.allows) or broad.conditional:
        return False
    for qualifier in {*broad.qualifiers, *narrow.qualifiers}:
        # a rule that audits does more than allow; an owner's rule allows less
        if qualifier not in ("allow", "audit", "owner"):
            return False
    if "audit" in narrow.qualifiers and "audit" not in broad.qualifiers:
        return False
    if "owner" in broad.qualifiers and "owner" not in narrow.qualifiers:
        return False
    if broad.words == narrow.words or broad.words == ("all",):
        return True
    kind = broad.words[0]
    if (mine := file_access(broad)) and (theirs := file_access(narrow)):
        return mine.covers(theirs)
    if kind != narrow.words[0] or kind not in _CLASSES:
        return False
    if broad.words == (kind,):
        return True
    if kind in ("capability", "network"):
        return _words_cover(kind, broad.words[1:], narrow.words[1:])
    broad_mount, narrow_mount = Mount.parse(broad), Mount.parse(narrow)
    return bool(broad_mount and narrow_mount and broad_mount.covers(narrow_mount))


@dataclass(frozen=True)
class FileAccess:
    """What a file rule gives: a path pattern, its permissions, and how it executes ("" or `ix`)."""

    path: str
    permissions: frozenset[str]
    execute: str

    def covers(self, other: FileAccess) -> bool:
        """Whether it gives everything that the other one gives."""
        mine = self.permissions | {"a"} if "w" in self.permissions else self.permissions
        return (
            other.permissions <= mine
            and other.execute in ("", self.execute)
            and path_covers(self.path, other.path)
        )


@lru_cache(_REMEMBERED)
def file_access(rule: Rule) -> FileAccess | None:
    """Read a file rule, or None where it is another one or names an execution target."""
    words = rule.words
    if words == ("file",):
        # parser_yacc.y: `file,` is every access, execution with ix
        return FileAccess("/{,**}", frozenset("rwamlk"), "ix")
    if words[0] == "file":
        words = words[1:]
    if len(words) != 2:
        return None
    path, permissions = words if words[0][:1] in ("/", "@") else reversed(words)
    if path[:1] not in ("/", "@") or not _PERMISSIONS.fullmatch(permissions):
        return None
    execute = _EXECUTE.search(permissions)
    letters = frozenset(_EXECUTE.sub("", permissions))
    return FileAccess(path, letters, execute.group() if execute else "")


def path_covers(broad: str, narrow: str) -> bool:
    """Whether every path that the pattern `narrow` matches is matched by `broad`."""
    if broad == narrow or broad in EVERYWHERE:
        return True
    # /some/folder/** : all that lies below; `/**` stands for at least one character
    if broad.endswith("/**") and not _special(folder := broad[:-2]):
        rest = narrow.removeprefix(folder)
        if rest == narrow or not rest:
            return False
        return rest in ("*", "**") or rest[0] not in "*{@"
    return not _special(narrow) and matches(broad, narrow)


def matches(pattern: str, text: str) -> bool:
    """Whether an AppArmor pattern matches a text; no where it holds variables or is malformed."""
    if "@{" in pattern or pattern.count("*") - pattern.count("**") > _MOST_STARS:
        return pattern == text
    try:
        return _regex(pattern).fullmatch(text) is not None
    except re.error:
        return False


def _words_cover(kind: str, broad: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    if any("=" in word or "(" in word for word in broad):
        return False
    # each word of a network rule narrows it, each word of a capability rule widens it
    if kind == "network":
        return set(broad) <= set(narrow)
    return bool(narrow) and set(narrow) <= set(broad)


def _path_within(path: str | None, pattern: str) -> bool:
    return pattern in EVERYWHERE or (path is not None and path_covers(pattern, path))


def _flag(flag: str) -> str:
    # apparmor.d(5): make-private and private are one flag
    return flag.removeprefix("make-")


def _special(text: str) -> bool:
    return any(char in text for char in "*?[]{}@\\^")


@lru_cache(_REMEMBERED)
def _regex(pattern: str) -> re.Pattern[str]:
    """Translate as AppArmor's `convert_aaregex_to_pcre` does, stricter where that depends."""
    regex, depth = "", 0
    for part in re.findall(r"\*+|\[[^\]]*\]|\\.|.", pattern, re.DOTALL):
        if part[0] == "*":
            class_ = "." if len(part) > 1 else "[^/]"
            regex += class_ + ("+" if regex.endswith("/") else "*")
        elif part[0] == "[" and len(part) > 2:
            regex += part
        elif part == "?":
            regex += "[^/]"
        elif part == "{":
            regex, depth = f"{regex}(?:", depth + 1
        elif part == "}" and depth:
            regex, depth = f"{regex})", depth - 1
        elif part == "," and depth:
            regex += "|"
        else:
            regex += re.escape(part[-1])
    return re.compile(regex, re.DOTALL)
