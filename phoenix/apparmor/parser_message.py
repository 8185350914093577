"""What `apparmor_parser` says when a profile does not parse, as a place and a way out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phoenix.apparmor.profile_text import ProfileText

#: Abstractions that use variables without declaring them, and one that each uses.
NEEDS_TUNABLES = {
    "abstractions/lxc/container-base": "PROC",
    "abstractions/base": "PROC",
    "abstractions/nameservice": "run",
}

_ERROR = re.compile(
    r"AppArmor parser error(?: for (?P<file>.+?))?(?: in profile (?P<where>.+?))?"
    r"(?: at line (?P<line>\d+))?: (?P<what>.*)"
)
_NOISE = re.compile(r"Cache read/write disabled|Warning|File .* missing feature abi|\s*$")
_UNDECLARED = re.compile(r"reference to variable (\w+)")
_PATTERN = re.compile(r"Unable to parse input line '(.+?)'")
_PROFILE = re.compile(r"profile (\S+?)[,:]? ")

_WAYS_OUT = (
    (r"unexpected TOK_AUDIT", "audit stands before allow and deny: `audit deny …`"),
    (
        r"never declared",
        "put `include <tunables/global>` in front of the profile: one that is loaded by itself "
        "needs its own",
    ),
    (r"open 'abstractions/lxc", "apt install liblxc-common (lxc-pve on Proxmox VE has it, too)"),
    (r"open 'abi/", "name an abi that is in /etc/apparmor.d/abi, or leave the line out"),
    (r"open '", "correct the path, or write `include if exists` where the file may be missing"),
    (r"conflicting x modifiers", "give each path one way to execute: ix, Px or Cx"),
    (r"Multiple definitions", "declare each profile once"),
    (r"grouping error", "close every { and [ of the path"),
)
_DEFAULT = "look at this line and the one before: the parser names the line where it gave up"


@dataclass(frozen=True)
class ParserError:
    """One error of the parser: the line in our text, what it says, what to do."""

    line: int
    message: str
    way_out: str


def read_parser_message(message: str, file: str, text: ProfileText) -> ParserError:
    """Read the standard error of an `apparmor_parser` that failed.

    `file`: the path that the parser was given for `text`. An error in an included file gets the
    line of the include. Lines and wording as measured on parsers 3.0.8 and 4.1.
    """
    lines = [line for line in message.splitlines() if not _NOISE.match(line)]
    if found := next((found for line in lines if (found := _ERROR.match(line))), None):
        what, where = found["what"], found["where"] or file
        number = int(found["line"] or 1)
        if where == file:
            return ParserError(number, what, _way_out(what))
        return ParserError(
            _included(text, where), f"{where} line {number}: {what}", _way_out(what, where)
        )
    what = "; ".join(line.strip() for line in lines) or "the parser gave no reason"
    return ParserError(_line_of(what, text), what, _way_out(what))


def _way_out(what: str, where: str = "") -> str:
    for pattern, way_out in _WAYS_OUT:
        if re.search(pattern, what):
            return way_out
    return f"correct {where}, this line or the one before" if where else _DEFAULT


def _included(text: ProfileText, where: str) -> int:
    """The line by which a file is included; through others: the first include of all."""
    includes = text.includes + [one for profile in text.profiles for one in profile.includes]
    for include in includes:
        if where.endswith(include.path):
            return include.line
    return min((include.line for include in includes), default=1)


def _line_of(what: str, text: ProfileText) -> int:
    """The line that an error without a line is about, as far as its words tell."""
    if found := _UNDECLARED.search(what):
        return first_use(text, found[1])
    rules = [rule for profile in text.profiles for rule in profile.rules]
    if found := _PATTERN.search(what):
        return next((rule.line for rule in rules if found[1] in rule.words), 1)
    if found := _PROFILE.search(what):
        return next((one.line for one in text.profiles if one.name == found[1]), 1)
    return 1


def first_use(text: ProfileText, variable: str) -> int:
    """The first line that uses a variable, itself or through an abstraction; 1 if none does."""
    lines = [
        rule.line
        for profile in text.profiles
        for rule in profile.rules
        if any(f"@{{{variable}}}" in word for word in rule.words)
    ]
    lines += [
        include.line
        for profile in text.profiles
        for include in profile.includes
        if include.path in NEEDS_TUNABLES
    ]
    return min(lines, default=1)
