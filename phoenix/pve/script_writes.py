"""Whether a script writes containers' confs, by its text: sh, Perl, Python as people write them.

A script can hide what it does, and this does not run it: it finds what is copied from guides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_QUOTED = r"'[^'\n]*'|\"(?:\\.|[^\"\\\n])*\""
_COMMENT = re.compile(rf"({_QUOTED}|\\.)|(?:^|(?<=\s))#.*$", re.MULTILINE)
# what only tells or asks
_TELLS = re.compile(
    rf"\b(?:logger|test|e?grep\s+(?:-\w+\s+)*-\w*q\w*)(?!\S)(?:{_QUOTED}|[^;&|\n'\"])*"
    r"|(?<!\S)\[\[?\s.{1,200}?\s\]\]?(?=[\s;&|)]|$)",
    re.MULTILINE,
)

# where Proxmox has confs, and LXC its own; LXC tells hooks its file in a variable
_CONF = re.compile(
    r"/etc/pve(?!/(?:firewall|priv|ha|sdn|mapping|qemu-server)\b|/\w+\.cfg\b)|/lxc/[^/\s]*\.conf\b"
    r"|/var/lib/lxc\b|/usr/share/lxc/config\b|\bLXC_CONFIG_FILE\b|\bconfig_file\(|\bcfs_config_path\("
)
_RELATIVE = re.compile(r"^[\"']?(?!/)\S*(?:\.conf|\bconfig)\b")
_CHANGES_FOLDER = re.compile(r"\b(?:cd|pushd|chdir)\b")

# `A=b`, `my $a = b`, `for f in /etc/pve/lxc/*.conf`; the value is looked at, not taken
_SET = re.compile(r"(?<![\w$.-])[$@]?([A-Za-z_]\w*)\s*(?:=(?![=~])|\bin\b)(?=([^;\n]{0,300}))")
#: A variable that is made of a variable, so many times.
_DEEP = 6
# what the caller brings
_GIVEN = re.compile(r"[\"']?\$\{?\d\}?[\"']?|shift(?:\(\))?|@_|sys\.argv\[\d\]")
_VARIABLE = re.compile(r"[\"']?\$\{?(\w+)\}?[\"']?")
_WORD = re.compile(rf"(?:{_QUOTED}|[^\s\"'])+")

_TARGET = rf"\s*((?:{_QUOTED}|[^\s;&|\"'])+)"
_ARGUMENTS = rf"\b[\"']?((?:{_QUOTED}|[^;&|\n\"'])*)"
_REDIRECTS = re.compile(rf"(?:(?<![-=<>&2])>>?\|?|\bof=){_TARGET}")
_EDITS = re.compile(rf"\b(?:sed|perl|ruby|awk|gawk){_ARGUMENTS}")
_IN_PLACE = re.compile(r"(?:^|[\s\"',])(?:-[a-zA-Z]*i\S*|--in-place\S*)")
_FILLS = re.compile(rf"\b(?:tee|sponge|truncate|patch|ed|ex){_ARGUMENTS}")
_PUTS = re.compile(rf"\b(?:cp|mv|install|ln|rsync){_ARGUMENTS}")
_SETS = re.compile(r"\bpct[\"',\s]+set\b|\bpvesh[\"',\s]+set\b[\"',\s]+\S*/lxc/|\bwrite_config\(")
# of Perl and Python, with the file in the same line
_OPENS = re.compile(
    r"\b(?:open\b|IO::File\b)[^;]*?[\"'](?:\+?>>?|\+<|[wax]b?\+?b?t?[\"']|r\+)|\binplace\b"
    r"|\bO_(?:WRONLY|RDWR)\b|\bwrite_(?:text|bytes|file)\b|\bfile_set_contents\b"
    r"|\brename\b|\bos\.replace\b|\bshutil\.(?:copy|move)"
)


def code_of(text: str) -> str:
    """A script's text without its comments, and lines that go on in one."""
    return _COMMENT.sub(lambda found: found[1] or "", text).replace("\\\n", " ")


def acts(code: str) -> str:
    """What of it does more than to tell or to ask: no `logger`, no `grep -q`, no `[ … ]`."""
    return _TELLS.sub("", code)


def writes_confs(code: str) -> bool:
    """Whether some command in it writes a conf of Proxmox or LXC, or what may be one."""
    return _Script(code).writes


class _Script:
    """`set`: the variables of which it says what they are; `confs`: those that name confs."""

    def __init__(self, code: str) -> None:
        self.code = code
        values = _SET.findall(code)
        self.set = {name for name, value in values if not _GIVEN.fullmatch(value.strip())}
        self.confs: set[str] = set()
        self.moves = any(_CHANGES_FOLDER.search(line) and _CONF.search(line) for line in self.lines)
        for _ in range(_DEEP):
            found = {name for name, value in values if self.names(value)}
            if found == self.confs:
                break
            self.confs = found

    @property
    def lines(self) -> list[str]:
        return self.code.split("\n")

    @property
    def writes(self) -> bool:
        return bool(_SETS.search(self.code)) or any(
            any(map(self.is_conf, _targets(line))) or (self.names(line) and _OPENS.search(line))
            for line in self.lines
        )

    def names(self, text: str) -> bool:
        """Whether a text has a conf's path, or a variable that has one."""
        if _CONF.search(text):
            return True
        words = re.findall(r"(?<![\w./-])[$@{]{0,4}([A-Za-z_]\w*)", text)
        return not self.confs.isdisjoint(words)

    def is_conf(self, word: str) -> bool:
        """Whether a word is a conf, or one that the script does not say: `$1`, `$CONF`."""
        unsaid = _VARIABLE.fullmatch(word)
        if self.names(word) or (unsaid and unsaid[1] not in self.set):
            return True
        return self.moves and bool(_RELATIVE.search(word))


def _targets(line: str) -> Iterator[str]:
    """The words of a line that are written, if any: of several files all."""
    yield from _REDIRECTS.findall(line)
    for arguments in _PUTS.findall(line):
        yield from _files(arguments)[-1:]
    for arguments in _FILLS.findall(line):
        yield from _files(arguments)
    for arguments in _EDITS.findall(line):
        if _IN_PLACE.search(arguments):
            yield from _files(arguments)


def _files(arguments: str) -> list[str]:
    words = _WORD.findall(arguments)
    return [word for word in words if not re.match(r"-|\d?[<>]", word)]
