"""What the kernel's AppArmor has: profiles, their modes, and whether they are what their files say.

The kernel tells the compiled form of each profile (`raw_data`, where it is built with
CONFIG_SECURITY_APPARMOR_EXPORT_BINARY, as Debian's and Proxmox's are); compiling the file again
gives the same bytes. What was found equal once is noted, so that it is compiled but then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from node.bounded import MIB, run
from node.files import digest, make_folder, read, replace, text
from node.root import STATE, at
from phoenix.apparmor.observed import FOLDER

#: What a load of ours put into the kernel: NAME, the text's SHA-256, the compiled form's.
NOTE = f"{STATE}/loaded"

_KERNEL = "/sys/kernel/security/apparmor"
_MODES = ("enforce", "complain", "kill", "unconfined", "user")
_LINE = re.compile(rf"(.+) \(({'|'.join(_MODES)})\)")
#: Seconds for one profile, and bytes of its compiled form: a hundred times what ours have.
_PATIENCE, _MOST = 60, 32 * MIB


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


def stale(names: list[str], note: str = NOTE) -> list[str]:
    """Those of these profiles that the kernel has with another text than their files.

    One of which that cannot be told is none of them. `note`: the file of what is known.
    """
    known = _noted(note)
    found = [(name, _forms(name)) for name in names]
    return [
        name
        for name, forms in found
        if forms is not None
        and known.get(name) != forms
        and _compiled(name) not in (None, forms[1])
    ]


def remember(names: list[str], note: str = NOTE) -> None:
    """Note what the kernel has of these: it has just been loaded from their files, or compared.

    What cannot be noted is only compiled again.
    """
    before = _noted(note)
    known = {name: forms for name, forms in before.items() if name not in names}
    known |= {name: forms for name in names if (forms := _forms(name)) is not None}
    if known == before:
        return
    lines = [f"{name} {file} {form}\n" for name, (file, form) in sorted(known.items())]
    with suppress(OSError):
        make_folder(os.path.dirname(note))
        replace(note, "".join(lines).encode(), ".phoenix-new", 0o600, anew=True)


def _noted(note: str) -> dict[str, tuple[str, str]]:
    lines = (text(read(note)) or "").splitlines()
    words = [line.split(" ") for line in lines]
    return {three[0]: (three[1], three[2]) for three in words if len(three) == 3}


def _forms(name: str) -> tuple[str, str] | None:
    """Of a profile the digests of its file and of what the kernel has, None without either."""
    for found, _, folder in _profiles():
        if found == name:
            with suppress(OSError):
                file, form = read(at(f"{FOLDER}/{name}")), read(f"{folder}/raw_data")
                return None if file is None or form is None else (digest(file), digest(form))
    return None


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
