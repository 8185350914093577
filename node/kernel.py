"""What the kernel's AppArmor has: profiles, their modes, and whether they are what their files say.

The kernel tells the compiled form of each profile (`raw_data`, where it is built with
CONFIG_SECURITY_APPARMOR_EXPORT_BINARY, as Debian's and Proxmox's are); compiling the file again
gives the same bytes. What was found equal once is noted, so that it is compiled but then and where
a file has changed that profiles include.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice

from node.bounded import MIB, run
from node.files import digest, make_folder, raw, read, replace, text
from node.root import STATE, at
from phoenix.apparmor.observed import FOLDER

#: What a load of ours put into the kernel: NAME, the text's SHA-256, the compiled form's; before
#: these, where there are any, what the files that profiles include were like (`_includes`).
NOTE = f"{STATE}/loaded"

_KERNEL = "/sys/kernel/security/apparmor"
_MODES = ("enforce", "complain", "kill", "unconfined", "user")
_LINE = re.compile(rf"(.+) \(({'|'.join(_MODES)})\)")
#: Seconds for one profile, and bytes of its compiled form: a hundred times what ours have.
_PATIENCE, _MOST = 60, 32 * MIB
#: Folders of what profiles include; of files in them, how many are looked at (Debian has 200).
_INCLUDED, _MOST_FILES = ("abi", "abstractions", "tunables"), 10_000


def loaded() -> dict[str, str]:
    """The profiles of the node's own namespace, name to mode, without those within others.

    Not those of policy namespaces, whose names a guest makes: in the kernel's one list of them
    all, a name that holds a newline is a line of its own.
    """
    if os.path.isdir(at(f"{_KERNEL}/policy/profiles")):
        return {name: mode for name, mode, _ in _profiles()}
    lines = (text(_listed()) or "").split("\n")
    if any(line.startswith(":") or "//null-" in line for line in lines):
        # an old kernel, and a guest that may have written any of them
        return {}
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    return {match[1]: match[2] for match in found if _is_plain(match[1])}


def is_readable() -> bool:
    """Whether it can be asked at all."""
    return os.access(at(f"{_KERNEL}/profiles"), os.R_OK)


def stale(names: list[str], note: str = "", notes_equal: bool = False) -> list[str]:
    """Those of these profiles that the kernel has with another text than their files.

    One of which that cannot be told is none of them. `note`: the file of what is known, if not
    our own; `notes_equal`: add to it what was compared and is the same.
    """
    note, includes = note or at(NOTE), _includes()
    known, found = _noted(note, includes), _forms(names)
    compiled = {
        name: forms[1] if known.get(name) == forms else _compiled(name)
        for name, forms in found.items()
    }
    equal = {name: forms for name, forms in found.items() if compiled[name] == forms[1]}
    if notes_equal and equal.items() - known.items():
        _write({**known, **equal}, note, includes)
    return [name for name in names if name not in equal and compiled.get(name) is not None]


def remember(names: list[str], note: str = "") -> None:
    """Note what the kernel has of these: it has just been loaded from their files.

    What cannot be noted is only compiled again.
    """
    note, includes = note or at(NOTE), _includes()
    before = _noted(note, includes)
    known = {name: forms for name, forms in before.items() if name not in names}
    known |= _forms(names)
    if known != before:
        _write(known, note, includes)


def _write(known: dict[str, tuple[str, str]], note: str, includes: str) -> None:
    head = [f"includes {includes}\n"] if includes else []
    lines = [f"{name} {file} {form}\n" for name, (file, form) in sorted(known.items())]
    with suppress(OSError):
        make_folder(os.path.dirname(note))
        replace(note, "".join(head + lines).encode(), ".phoenix-new", 0o600, anew=True)


def _noted(note: str, includes: str) -> dict[str, tuple[str, str]]:
    """What is known of profiles, as long as nothing has changed that they include."""
    words = [line.split(" ") for line in (text(read(note)) or "").splitlines()]
    if "".join(two[1] for two in words if len(two) == 2) != includes:
        return {}
    return {three[0]: (three[1], three[2]) for three in words if len(three) == 3}


def _includes() -> str:
    """What is another where a file has changed that a profile may include, "" without any.

    A file that comes in a package has the date of its making: so the inode's time counts, too.
    """
    patterns = (f"{FOLDER}/{name}/{below}" for name in _INCLUDED for below in ("*", "*/*"))
    paths = chain.from_iterable(glob.iglob(at(pattern)) for pattern in patterns)
    told = []
    for path in islice(paths, _MOST_FILES):
        with suppress(OSError):
            its = os.stat(path)
            if stat.S_ISREG(its.st_mode):
                told.append(f"{path} {its.st_size} {its.st_mtime_ns} {its.st_ctime_ns}")
    return digest(raw("\n".join(sorted(told)))) if told else ""


def _forms(names: list[str]) -> dict[str, tuple[str, str]]:
    """Of these profiles the digests of their files and of what the kernel has, those with both."""
    forms = {}
    for name, _, folder in _profiles():
        if name not in names:
            continue
        with suppress(OSError):
            file, form = read(at(f"{FOLDER}/{name}")), read(f"{folder}/raw_data")
            if file is not None and form is not None:
                forms[name] = (digest(file), digest(form))
    return forms


def _compiled(name: str) -> str | None:
    """The digest of the compiled form of its file, None where it does not compile."""
    words = ["apparmor_parser", "--base", at(FOLDER), "-Q", "-K", "-S", at(f"{FOLDER}/{name}")]
    ended = run(words, seconds=_PATIENCE, limit=_MOST)
    return digest(ended.out) if ended.ok and ended.out else None


def _profiles() -> Iterator[tuple[str, str, str]]:
    """Name, mode and folder of each, where the kernel has folders for them."""
    folder = at(f"{_KERNEL}/policy/profiles")
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            name, mode = (_told(f"{folder}/{entry}/{file}") for file in ("name", "mode"))
        except OSError:
            # removed since the folder was read
            continue
        if name and mode in _MODES and _is_plain(name):
            yield name, mode, f"{folder}/{entry}"


def _told(path: str) -> str:
    """What the kernel says in one file: the value, and a newline after it."""
    said = text(read(path)) or ""
    return said[:-1] if said.endswith("\n") else said


def _listed() -> bytes | None:
    path = at(f"{_KERNEL}/profiles")
    return read(path) if os.path.isfile(path) else None


def _is_plain(name: str) -> bool:
    return all(char >= " " and char != "\x7f" for char in name)
