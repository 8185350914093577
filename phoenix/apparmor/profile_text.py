"""AppArmor profile text, read line-true: which rule stands where, in which profile.

The reader understands layout (comments, includes, quotes, blocks, lists), not meaning, and accepts
every text: whether it is valid, only `apparmor_parser` can say. The layout is that of
`parser_lex.l` in AppArmor's sources, tried on parser 3.0.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MARK = "\ufeff"
_QUALIFIERS = frozenset({"audit", "allow", "deny", "owner", "other", "quiet", "prompt"})


@dataclass(frozen=True)
class Include:
    """An `include`: its line, and its path as `tunables/global`, without brackets or quotes."""

    line: int
    path: str


@dataclass(frozen=True)
class Rule:
    """A rule: the line that it begins on, the words in front of it, its own words.

    `words` have no quotes and write lists in one way: `options=(rw,bind)`. `conditional`: it
    stands inside an `if`.
    """

    line: int
    qualifiers: tuple[str, ...]
    words: tuple[str, ...]
    conditional: bool = False

    @property
    def allows(self) -> bool:
        """Whether it grants something; a deny takes away."""
        return "deny" not in self.qualifiers

    def __str__(self) -> str:
        return " ".join((*self.qualifiers, *self.words))


@dataclass
class Profile:
    """A profile: its line, name, flags and contents; `parent` of a child profile or hat."""

    line: int
    name: str
    flags: frozenset[str] = frozenset()
    parent: str | None = None
    rules: list[Rule] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)


@dataclass
class ProfileText:
    """A file of profiles: what stands in front of them, and all of them, children included.

    `variables`: names that the file itself assigns; `marks`: lines that begin with a byte order
    mark, which is passed over; `problem`: line and text of the first thing that cannot be right in
    any version of the language, or None.
    """

    includes: list[Include] = field(default_factory=list)
    abis: list[Include] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    profiles: list[Profile] = field(default_factory=list)
    marks: tuple[int, ...] = ()
    problem: tuple[int, str] | None = None


def read_profiles(text: str) -> ProfileText:
    """Read a file of profiles. Every text is accepted, nothing is raised."""
    lines = text.split("\n")
    # where an editor or `cat` of several files put one
    marks = tuple(number for number, line in enumerate(lines, 1) if line.startswith(_MARK))
    text = "\n".join(line.removeprefix(_MARK) for line in lines) if marks else text
    read = ProfileText(marks=marks)
    open_blocks: list[_Block] = []
    words: list[str] = []
    start = 0
    for line, kind, token in _tokens(text):
        block = open_blocks[-1] if open_blocks else _OUTSIDE
        if kind == "problem":
            read.problem = read.problem or (line, token)
        elif kind == "include":
            (block.profile.includes if block.profile else read.includes).append(
                Include(line, token)
            )
        elif kind == "variable":
            read.variables.add(token)
        elif kind == "word":
            start = start if words else line
            words.append(token)
        elif kind == "{":
            open_blocks.append(_opened(read, block, start if words else line, words))
            words = []
        elif kind == "}":
            if open_blocks:
                open_blocks.pop()
            else:
                read.problem = read.problem or (line, "this } closes nothing")
            words = []
        else:
            _rule(read, block, start, words)
            words = []
    if open_blocks:
        read.problem = read.problem or (
            open_blocks[-1].line,
            "what is opened here has no closing }",
        )
    return read


@dataclass(frozen=True)
class _Block:
    line: int
    profile: Profile | None
    qualifiers: tuple[str, ...] = ()
    conditional: bool = False


_OUTSIDE = _Block(0, None)


def _opened(read: ProfileText, outer: _Block, line: int, words: list[str]) -> _Block:
    """What a `{` opens: a group of rules under qualifiers or an `if`, or else a profile."""
    words = _joined(words) or [""]
    if outer.profile and _QUALIFIERS.issuperset(words):
        qualifiers = tuple(dict.fromkeys((*outer.qualifiers, *words)))
        return _Block(line, outer.profile, qualifiers, outer.conditional)
    if words[0] in ("if", "else"):
        return _Block(line, outer.profile, outer.qualifiers, True)
    if words[0] in ("profile", "hat") and len(words) > 1:
        words = words[1:]
    flags: set[str] = set()
    for word in words[1:]:
        if word.startswith("flags="):
            flags.update(listed(word.removeprefix("flags=")))
    parent = outer.profile.name if outer.profile else None
    profile = Profile(line, words[0], frozenset(flags), parent)
    read.profiles.append(profile)
    return _Block(line, profile)


def _rule(read: ProfileText, block: _Block, line: int, words: list[str]) -> None:
    words = _joined(words)
    if not words:
        return
    if words[0] == "abi" and len(words) > 1:
        read.abis.append(Include(line, words[1].strip("<>")))
        return
    if block.profile is None:
        return
    count = 0
    while count < len(words) - 1 and (
        words[count] in _QUALIFIERS or words[count].startswith("priority=")
    ):
        count += 1
    qualifiers = (*block.qualifiers, *words[:count])
    block.profile.rules.append(Rule(line, qualifiers, tuple(words[count:]), block.conditional))


def listed(value: str) -> list[str]:
    """The members of `(rw,bind)`, `rw` or ``."""
    return [part for part in re.split(r"[,\s]+", value.strip("()")) if part]


def _joined(words: list[str]) -> list[str]:
    """Make one word of `options = (rw)`: the parser takes it with and without blanks."""
    joined: list[str] = []
    for word in words:
        last = joined[-1] if joined else "/"
        if last[:1] not in ("/", "@") and (
            last.endswith("=") or (word[:1] == "=" and "=" not in last)
        ):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


_BLANK = re.compile(r"(?:\s|\\\r?\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_INCLUDE = re.compile(
    r"#?include(?=[\s<\"])[ \t]*(?:if[ \t]+exists[ \t]*)?"
    r"(?:<(?P<magic>[^>\n]*)>|\"(?P<quoted>[^\"\n]*)\"|(?P<bare>[^\s,]+))"
)
_VARIABLE = re.compile(r"[@$](?:\{(\w+)\}|(\w+))[ \t]*\+?=(?:\\\r?\n|[^\n])*")
_LIST = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
# of a word, what has no meaning of its own
_PLAIN = re.compile(r"[^\s\"(){},\\]+")
_QUOTED = re.compile(r"\"((?:\\.|[^\"\\\n])*)\"")


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Cut the text up: line, kind (word include variable problem , { }) and content of each."""
    position, line, fresh, last = 0, 1, True, ""
    while position < len(text):
        begin = position
        if found := _BLANK.match(text, position):
            position = found.end()
        # include and assignment end with their line, not with a comma: only where a rule may begin
        elif fresh and (found := _INCLUDE.match(text, position)):
            position = found.end()
            yield line, "include", found["magic"] or found["quoted"] or found["bare"] or ""
        elif fresh and (found := _VARIABLE.match(text, position)):
            position = found.end()
            yield line, "variable", found[1] or found[2]
        elif found := _COMMENT.match(text, position):
            position = found.end()
        elif text[position] in ",}" or (text[position] == "{" and last != "->"):
            last, fresh = text[position], True
            position += 1
            yield line, last, last
        else:
            position, last, closed = _word(text, position)
            fresh = False
            if not closed:
                yield line, "problem", 'this " is never closed'
            yield line, "word", last
        line += text.count("\n", begin, position)


def _word(text: str, begin: int) -> tuple[int, str, bool]:
    """Read a word: where it ends, what it says without its quotes, whether they are closed."""
    position, word, depth = begin, "", 0
    is_path = text[begin] in "/@"
    while position < len(text) and not (char := text[position]).isspace():
        if found := _PLAIN.match(text, position):
            position, word = found.end(), word + found[0]
        elif char == '"':
            found = _QUOTED.match(text, position)
            if found is None:
                end = text.find("\n", position)
                return (end if end >= 0 else len(text)), word + text[position + 1 : end], False
            position, word = found.end(), word + found[1]
            if begin == found.start():
                break
        elif (
            char == "("
            and (not word or word.endswith("="))
            and not is_path
            and (found := _LIST.match(text, position))
        ):
            return found.end(), f"{word}({','.join(listed(found[1]))})", True
        elif depth == 0 and (char == "}" or (char == "," and _ends_rule(text, position, word))):
            break
        else:
            depth += (char == "{") - (char == "}")
            step = 2 if char == "\\" else 1
            word += text[position : position + step]
            position += step
    return position, word, True


def _ends_rule(text: str, comma: int, word: str) -> bool:
    """Whether a comma ends the rule: paths and values may hold one that no blank follows."""
    after = text[comma + 1 : comma + 2]
    return (
        not after
        or after.isspace()
        or after in '",!'
        or not (word[:1] in ("/", "@") or "=" in word)
    )
