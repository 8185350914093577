"""AppArmor's tunables: the files that set variables, what is wrong in them, and the repair.

One broken line in `/etc/apparmor.d/tunables/home` and nearly no profile of the node loads any more,
nor does a container with a generated one start. The parser names the line where it gave up: often
the next assignment, in the next file. Here the line that is wrong is named.

Grammar: apparmor.d(5), Variables; what passes and what does not was tried on parsers 3.0.8 and 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

#: What the distribution's `tunables/home` sets (apparmor, profiles/apparmor.d/tunables/home).
HOME_VARIABLES: Mapping[str, str] = {"HOME": "@{HOMEDIRS}/*/ /root/", "HOMEDIRS": "/home/"}

# lines that assign no @{variable}: nothing here that we repair
_OTHER = re.compile(r"\s*(#|include\b|abi\b|alias\b|\$|if\b|else\b|\}\s*(else\b.*)?$|$)")
_INCLUDE = re.compile(r"\s*#?include\s+(if\s+exists\s+)?[<\"]")
_ASSIGNMENT = re.compile(
    r"(?P<indent>\s*)(?P<open>@?\{?)(?P<name>[A-Za-z][A-Za-z0-9_]*)(?P<close>\}?)"
    r"(?P<gap>[ \t]*)(?P<sign>\+?=)?(?P<value>.*)"
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|#.*')


@dataclass(frozen=True)
class Broken:
    """A line that is wrong: its number from 1, its text, what it shall be, and why.

    `text` is "" for a line that is missing and goes in front of that number; `repaired` is None
    where the repair is not ours to guess.
    """

    line: int
    text: str
    repaired: str | None
    why: str


def diagnose(
    text: str, needs: Mapping[str, str] = HOME_VARIABLES, elsewhere: Collection[str] = ()
) -> tuple[Broken, ...]:
    """Find what is wrong in a tunables file, in the order of its lines.

    `needs`: variables that the file must set, with the value of one that is missing; for any file
    but `tunables/home` it is `{}`. `elsewhere`: variables that other files have already set.

    >>> [diagnosis] = diagnose("{HOMEDIRS}=/srv/\\n@{HOME}=@{HOMEDIRS}/*/ /root/\\n")
    >>> diagnosis.line, diagnosis.repaired, diagnosis.why
    (1, '@{HOMEDIRS}=/srv/', 'the @ is missing')
    """
    assigned = [_read(number, line) for number, line in _numbered(text)]
    found = [*_missing(text, assigned, needs)]
    first: dict[str, int] = {}
    sets = {one.name: one.line for one in reversed(assigned) if one.sign == "="}
    for one in assigned:
        if one.sign == "=" and (one.name in first or one.name in elsewhere):
            where = f"line {first[one.name]}" if one.name in first else "another file"
            one = one.extending(f"{where} sets @{{{one.name}}} already: extend it with +=")
        elif one.sign == "=":
            first[one.name] = one.line
        elif one.sign and one.name in sets and one.name not in {*first, *elsewhere}:
            way_out = f"move it below line {sets[one.name]}, which sets @{{{one.name}}}"
            one = replace(one, problems=(*one.problems, way_out), repairable=False)
        if one.problems:
            found.append(one.broken())
    # a missing line stands in front of the line with its number
    return tuple(sorted(found, key=lambda broken: (broken.line, bool(broken.text))))


def repair(text: str, needs: Mapping[str, str] = HOME_VARIABLES) -> str:
    """Change the lines that `diagnose` can repair, and no other byte.

    >>> repair("@HOMEDIRS=/home/\\n@{HOME}=@{HOMEDIRS}/*/ /root/\\ninclude <tunables/home.d>\\n")
    '@{HOMEDIRS}=/home/\\n@{HOME}=@{HOMEDIRS}/*/ /root/\\ninclude <tunables/home.d>\\n'
    """
    lines = text.split("\n")
    inserted: dict[int, list[str]] = {}
    for broken in diagnose(text, needs):
        if broken.repaired is None:
            continue
        if broken.text:
            end = "\r" if lines[broken.line - 1].endswith("\r") else ""
            lines[broken.line - 1] = broken.repaired + end
        else:
            inserted.setdefault(broken.line, []).append(broken.repaired)
    for number in sorted(inserted, reverse=True):
        lines[number - 1 : number - 1] = inserted[number]
    if inserted and len(text.split("\n")) + 1 in inserted:
        lines.append("")  # the file had no newline at its end: the new last line gets one
    return "\n".join(lines)


@dataclass(frozen=True)
class _Line:
    """One line as far as it is understood; `sign` is "" where it assigns nothing."""

    line: int
    text: str
    name: str = ""
    sign: str = ""
    start: str = ""
    gap: str = ""
    value: str = ""
    problems: tuple[str, ...] = ()
    repairable: bool = True

    def extending(self, why: str) -> _Line:
        return replace(self, sign="+=", problems=(*self.problems, why))

    def broken(self) -> Broken:
        repaired = f"{self.start}@{{{self.name}}}{self.gap}{self.sign}{self.value}"
        return Broken(
            self.line, self.text, repaired if self.repairable else None, "; ".join(self.problems)
        )


def variables_set(text: str) -> set[str]:
    """The variables that a file sets with `=`, those of lines that can be repaired included."""
    return {one.name for number, line in _numbered(text) if (one := _read(number, line)).name}


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line.removesuffix("\r")


def _read(number: int, line: str) -> _Line:
    if _OTHER.match(line):
        return _Line(number, line)
    found = _ASSIGNMENT.fullmatch(line)
    if not found or not (found["sign"] or _looks_unsigned(found)):
        return _Line(
            number,
            line,
            problems=("neither a comment, nor an include, nor @{NAME}=VALUE",),
            repairable=False,
        )
    problems = []
    if missing := _missing_signs(found):
        problems.append(f"the {' and '.join(missing)} {_is(missing)} missing")
    sign, gap, value = found["sign"], found["gap"], found["value"].rstrip()
    if not sign:
        problems.append("the = is missing")
        sign, gap, value = "=", "", value.lstrip()
    if value.endswith(","):
        problems.append("an assignment ends without a comma")
        value = value.rstrip(", \t")
    repairable = True
    if not value.strip():
        problems.append("it has no value")
        repairable = False
    elif '"' in _QUOTED.sub("", value):
        problems.append("a quote is not closed")
        repairable = False
    # blanks at the end are no fault
    value = value if problems else found["value"]
    return _Line(
        number,
        line,
        found["name"],
        sign,
        found["indent"],
        gap,
        value,
        tuple(problems),
        repairable,
    )


def _looks_unsigned(found: re.Match[str]) -> bool:
    """Whether a line without = is an assignment that lost it: `@{HOMEDIRS} /home/`."""
    return bool(found["open"] and found["gap"] and found["value"].startswith(("/", "@{", '"')))


def _missing_signs(found: re.Match[str]) -> list[str]:
    """What a variable's name lacks; `@NAME =` with a blank is read as `@{NAME} =`."""
    if found["open"] == "@" and not found["close"] and found["gap"] and found["sign"]:
        return []
    signs = ((found["open"], "@"), (found["open"], "{"), (found["close"], "}"))
    return [sign for place, sign in signs if sign not in place]


def _is(missing: list[str]) -> str:
    return "is" if len(missing) == 1 else "are"


def _missing(text: str, assigned: list[_Line], needs: Mapping[str, str]) -> Iterator[Broken]:
    """The variables that no line sets: in front of what extends them, in this file or below it."""
    lines = text.split("\n")
    # behind the last line; a newline at its end begins no line
    end = len(lines) if lines[-1] == "" else len(lines) + 1
    includes = [number for number, line in enumerate(lines, 1) if _INCLUDE.match(line)]
    for name, value in needs.items():
        if any(one.name == name and one.sign == "=" for one in assigned):
            continue
        extended = [one.line for one in assigned if one.name == name]
        yield Broken(
            min([*extended, *includes, end]),
            "",
            f"@{{{name}}}={value}",
            f"nothing sets @{{{name}}}",
        )
