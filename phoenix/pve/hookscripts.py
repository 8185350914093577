"""The scripts that confs have run on the node at each start, and what they say that they write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from phoenix.pve.script_writes import acts, code_of, writes_confs
from phoenix.text.printable import printable

# what a conf says of confinement; `changeprofile` is what a hook asks for itself (LXC's nvidia)
_NAMES = re.compile(r"lxc\.(?:apparmor|aa_)[a-z_.]*|(?<!changeprofile )\bunconfined\b")
# what takes running ones out of it
_UNLOADS = re.compile(
    r"\bapparmor_parser\s+-[a-zA-Z]*R\b|\baa-(?:teardown|disable|complain)\b|/apparmor/\.remove\b"
)
_WRITES = re.compile(
    r"/etc/pve(?:/nodes/[^\s/]+|/local)?/lxc|/etc/pve\b|\bpct\s+set\b|/nodes/[^\s]+/lxc/[^\s]+/config"
    r"|/var/lib/lxc\b|\bLXC_CONFIG_FILE\b|\blxc\.(?:mount|cap|cgroup2?|include|seccomp|hook)\b"
)
#: LXC's own hooks.
_LXCS = "/usr/share/lxc/hooks/"
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
    def is_lxcs(self) -> bool:
        """Whether it is one of those that LXC brings."""
        return self.path.startswith(_LXCS) and ".." not in self.path

    @property
    def undoes(self) -> tuple[str, ...]:
        """Its words that take containers out of confinement, each once.

        Words alone do nothing: it must write confs, too.
        """
        named = self.names if writes_confs(self._code) else ()
        return _shown((*named, *_UNLOADS.findall(acts(self._code))))

    @property
    def names(self) -> tuple[str, ...]:
        """Its words for the confinement that a conf says, other than to log or to ask for them."""
        return _shown(_NAMES.findall(acts(self._code)))

    @property
    def writes(self) -> tuple[str, ...]:
        """Its words by which it names confs, to write them perhaps, each once."""
        return _shown(_WRITES.findall(self._code))

    @cached_property
    def _code(self) -> str:
        return "" if self.unknown else code_of(self.text or "")


def hookscripts_from_json(data: Mapping[str, Any]) -> Mapping[str, HookScript]:
    """Read the section `hookscripts` of the node's answer (`node.hookscripts`), by their names."""
    return {
        name: HookScript(str(one["path"]), _text(one["text"]), str(one["why"]))
        for name, one in data.items()
    }


def _text(said: object) -> str | None:
    return None if said is None else str(said)


def _shown(words: Iterable[str]) -> tuple[str, ...]:
    found = dict.fromkeys(" ".join(word.split()) for word in words)
    return tuple(printable(word, 60) for word in [*found][:_SHOWN])
