"""What this node's AppArmor is and has, and what its parser says of a text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from node.bounded import MISSING, TIME, run
from node.files import read, text
from node.root import at
from phoenix.apparmor.observed import ABI_BASE, ABI_OURS, FOLDER, HOOK, TUNABLES_HOME, TUNABLES_SITE

_KERNEL = "/sys/kernel/security/apparmor"
_PATIENCE = 60

# what the parser passes over (libapparmor, private.c: ignored_suffixes)
_IGNORED = re.compile(r".*(~|\.dpkg-[^.]*|\.pac[^.]*|\.rpm[^.]*|\.orig|\.rej)")
_GLOBAL_D = re.compile(
    rb'^[ \t]*#?include +(?:if +exists +)?[<"]tunables/global\.d[>"]', re.MULTILINE
)
_MODES = ("enforce", "complain", "kill", "unconfined", "user")
_LINE = re.compile(rf"(.+) \(({'|'.join(_MODES)})\)")

# both variables are used: one that nothing sets is an error only then
_TUNABLES = """\
include <tunables/global>
profile phoenix-harden-tunables { @{HOME}/** r, @{HOMEDIRS}/** r, }
"""


def observe(files: list[str]) -> dict[str, Any]:
    """Kernel switch, parser, ABIs, loaded profiles, and the texts of `files` in /etc/apparmor.d.

    Always told: `tunables/home`, the site's variables and the abis that we know, whether the
    tunables compile (with one broken line in them nothing else does) and include a folder for such
    files, and our script for policy namespaces where it can be run.
    """
    parser = _parser()
    error = "" if parser is None else tunables_refusal()
    ours = (TUNABLES_HOME, TUNABLES_SITE, ABI_BASE, ABI_OURS)
    names = [*ours, *files, *(_site_files() if error else ())]
    texts = {name: text(_regular(f"{FOLDER}/{name}")) for name in names}
    there = (read(at("/sys/module/apparmor/parameters/enabled")) or b"").strip() == b"Y"
    return {
        # enabled in the kernel but not there to be asked: as good as absent
        "enabled": there and os.access(at(f"{_KERNEL}/profiles"), os.R_OK),
        "parser": parser,
        "abis": [name for name in _entries(f"{FOLDER}/abi") if _is_file(f"{FOLDER}/abi/{name}")],
        "loaded": loaded(),
        "files": {name: found for name, found in texts.items() if found is not None},
        "tunables_error": error,
        "hook": text(_regular(HOOK)) if os.access(at(HOOK), os.X_OK) else None,
        "reads_global_d": bool(_GLOBAL_D.search(_regular(f"{FOLDER}/tunables/global") or b"")),
    }


def refusal(profile: str) -> str:
    """Why the node's parser does not take a profile, "" if it does. Nothing is loaded."""
    ended = run(
        ["apparmor_parser", "--base", at(FOLDER), "-Q", "-K", "-T"],
        profile.encode("utf-8", "surrogateescape"),
        seconds=_PATIENCE,
        merge=True,
    )
    if ended.ok:
        return ""
    if ended.why == TIME:
        return f"apparmor_parser gave no answer in {_PATIENCE} s"
    said = text(ended.err if ended.why == MISSING else ended.out) or ""
    return said.rstrip("\n") or "no reason given"


def tunables_refusal() -> str:
    """Why the tunables do not compile, "" if they do."""
    return refusal(_TUNABLES)


def loaded() -> dict[str, str]:
    """The profiles of the node's own namespace, name to mode, without those within others.

    Not those of policy namespaces, whose names a guest makes: in the kernel's one list of them
    all, a name that holds a newline is a line of its own.
    """
    folder = at(f"{_KERNEL}/policy/profiles")
    if os.path.isdir(folder):
        return dict(_profiles(folder))
    lines = (text(_regular(f"{_KERNEL}/profiles")) or "").split("\n")
    if any(line.startswith(":") or "//null-" in line for line in lines):
        # an old kernel, and a guest that may have written any of them
        return {}
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    return {match[1]: match[2] for match in found if _is_plain(match[1])}


def _profiles(folder: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(os.listdir(folder)):
        try:
            name, mode = (_told(f"{folder}/{entry}/{file}") for file in ("name", "mode"))
        except OSError:
            # removed since the folder was read
            continue
        if name and mode in _MODES and _is_plain(name):
            yield name, mode


def _told(path: str) -> str:
    """What the kernel says in one file: the value, and a newline after it."""
    said = text(read(path)) or ""
    return said[:-1] if said.endswith("\n") else said


def _is_plain(name: str) -> bool:
    return all(char >= " " and char != "\x7f" for char in name)


def _parser() -> list[int] | None:
    said = run(["apparmor_parser", "--version"], seconds=_PATIENCE).out
    found = re.search(rb"version (\d+(?:\.\d+)*)", said)
    return [int(number) for number in found[1].split(b".")[:3]] if found else None


def _site_files() -> list[str]:
    there = [f"tunables/home.d/{name}" for name in _entries(f"{FOLDER}/tunables/home.d")]
    return [name for name in there if not _IGNORED.fullmatch(name)]


def _regular(path: str) -> bytes | None:
    return read(at(path)) if _is_file(path) else None


def _is_file(path: str) -> bool:
    return os.path.isfile(at(path))


def _entries(path: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(at(path)) if not name.startswith("."))
    except OSError:
        return []
