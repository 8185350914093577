"""The raw lines of a conf by which a program runs on the node, and which one that is.

Packed into the node's program: Python 3.9 and the standard library.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phoenix.pve.conf import Section

# lxc.container.conf(5): `version` says how hooks get their arguments, `start` runs in the container
_NONE = ("lxc.hook.version", "lxc.hook.start")

# what runs another program, by name
_SHELL = re.compile(r"(?:ba|da|a|k|z)?sh")
_RUNNER = re.compile(
    rf"{_SHELL.pattern}|busybox|perl|python[0-9.]*|env|exec|source|\.|nice|ionice|nohup|setsid|"
    "timeout|systemd-run"
)
# behind these they have their program's text itself
_INLINE = {
    "sh": re.compile("-[a-z]*c[a-z]*"),
    "perl": re.compile("-[a-zA-Z]*[eE]"),
    "python": re.compile("-[a-zA-Z]*c"),
}
_BETWEEN = re.compile(r"[;&|\n]+")


def hook_lines(main: Section, ours: str) -> Iterator[tuple[str, str]]:
    """Key and value of each such line, but for those that run `ours`, whatever its arguments."""
    for key, value in main.raw_items():
        words = value.split()
        if key.startswith("lxc.hook.") and key not in _NONE and words and words[0] != ours:
            yield key, value


def program(command: str) -> str:
    """The program or script that a hook's command runs, "" where the command is all there is.

    LXC gives the command to a shell (lxc, src/lxc/utils.c `run_script_argv`). Behind a shell, Perl
    or the like it is the script that counts.

    >>> program("/bin/bash -e /root/a.sh x"), program("/bin/sh -c 'exec /root/a.sh'")
    ('/root/a.sh', '/root/a.sh')
    >>> program("/bin/sh -c 'echo x >/tmp/y'")
    ''
    """
    words = _words(command)
    runner = ""
    for number, word in enumerate(words):
        name = word.rpartition("/")[2]
        if _RUNNER.fullmatch(name):
            runner = name
        elif runner and _is_inline(runner, word):
            is_shell = _SHELL.fullmatch(runner)
            return _first_path(" ".join(words[number + 1 : number + 2])) if is_shell else ""
        elif word.startswith("/") or not (runner or "=" in word):
            return word
    return words[-1] if words else ""


def _is_inline(runner: str, word: str) -> bool:
    kind = "sh" if _SHELL.fullmatch(runner) else runner.rstrip("0123456789.")
    return kind in _INLINE and bool(_INLINE[kind].fullmatch(word))


def _first_path(commands: str) -> str:
    """The first of several commands that has its program's path, as far as blanks tell."""
    found = (program(one) for one in _BETWEEN.split(commands))
    return next((one for one in found if one.startswith("/")), "")


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    # LXC takes quotes around the whole of a value off (confile.c parse_line)
    return _words(words[0]) if len(words) == 1 and words[0].split()[1:] else words
