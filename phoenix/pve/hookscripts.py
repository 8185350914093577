"""The scripts that confs have run on the node at each start, and what they say that they write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phoenix.text.printable import printable

# what takes containers out of confinement, and what writes their confs at all
_UNDOES = re.compile(
    r"lxc\.(?:apparmor|aa_)[a-z_.]*|\bunconfined\b|\bapparmor_parser\s+-[a-zA-Z]*R\b"
    r"|\baa-(?:teardown|disable|complain)\b"
)
_WRITES = re.compile(
    r"/etc/pve(?:/nodes/[^\s/]+|/local)?/lxc|/etc/pve\b|\bpct\s+set\b|/nodes/[^\s]+/lxc/[^\s]+/config"
    r"|/var/lib/lxc\b|\blxc\.(?:mount|cap|cgroup2?|include|seccomp|hook)\b"
)
# of sh, Perl and Python
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
#: So many of its words are told.
_SHOWN = 4


@dataclass(frozen=True)
class HookScript:
    """A script as a node has it: `text` is None where it cannot be read; `why`, or why not whole.

    `path`: on the node, "" where that is not known.
    """

    path: str
    text: str | None
    why: str = ""

    @property
    def unknown(self) -> str:
        """Why nobody can tell from its text what it does, in words; "" where one can."""
        if self.text is None:
            return self.why or "not read"
        return "a program, no text" if "\0" in self.text else ""

    @property
    def undoes(self) -> tuple[str, ...]:
        """Its words that take containers out of confinement, each once."""
        return self._words(_UNDOES)

    @property
    def writes(self) -> tuple[str, ...]:
        """Its words by which it names confs, to write them perhaps, each once."""
        return self._words(_WRITES)

    def _words(self, wanted: re.Pattern[str]) -> tuple[str, ...]:
        if self.unknown:
            return ()
        code = _COMMENT.sub("", self.text or "")
        found = dict.fromkeys(" ".join(word.split()) for word in wanted.findall(code))
        return tuple(printable(word, 60) for word in [*found][:_SHOWN])


def hookscripts_from_json(data: Mapping[str, Any]) -> Mapping[str, HookScript]:
    """Read the section `hookscripts` of the node's answer (`node.hookscripts`), by their names."""
    return {
        name: HookScript(str(one["path"]), _text(one["text"]), str(one["why"]))
        for name, one in data.items()
    }


def _text(said: object) -> str | None:
    return None if said is None else str(said)
