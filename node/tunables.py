"""install-tunables NAME RUN BEFORE AFTER - replace a file of tunables, or take it away.

NAME: `tunables/home`, which is repaired, or the file with the site's own variables. Request:
{"text": the new text, null for none}. RUN: the run's id, for the before-image and the journal;
BEFORE, AFTER: SHA-256 of the text that is there and of the new one, or `none`.

Every profile file is compiled before and after: unless the tunables compile then, and every file
still does that did before, the old text is restored. None is loaded, but for our own profiles that
are: with the site's variables they mean something else.

Exit: 0 in place · 1 as it was before · 2 refused
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

from node.files import digest, raw
from node.main import request
from node.parser import FOLDER, parse, reload_ours
from node.refusal import tunables_refusal
from node.root import at
from node.say import Stop, say
from node.target import Target
from phoenix.apparmor.observed import TUNABLES_HOME, TUNABLES_SITE

#: The parser passes over it, should we die in between.
_SUFFIX = ".dpkg-new"

# what the service passes over (rc.apparmor.functions: skip_profile)
_SKIPPED = re.compile(r".*~|.*\.dpkg-.*|.*\.rpm.*|.*\.pac.*|.*\.orig|.*\.rej|README|\..*")


def main(words: list[str]) -> None:
    """Put it in place and prove it, or restore the old text."""
    name, run, planned, after = words
    if name not in (TUNABLES_HOME, TUNABLES_SITE):
        raise Stop(2, f"refused: {name} is no file of ours")
    said = request()["text"]
    data = None if said is None else raw(said)
    target = Target(run, f"{FOLDER}/{name}", about=name)
    target.follow()
    if digest(data) != after:
        raise target.failed("its text did not arrive whole; nothing was changed: run again")
    _check(target, planned)
    had = _compiling()
    # that takes its time
    _check(target, planned)
    target.intend(data)
    what = "the repair" if name == TUNABLES_HOME else "it"
    why = _put(target, data) or _broken(what)
    have = [] if why else _compiling()
    why = why or _lost(what, had, have) or _unloaded(name, what)
    if why:
        _back(target, name, why)
    target.done()
    if name == TUNABLES_HOME:
        _tell(name, len(had), len(have))


def _check(target: Target, planned: str) -> None:
    if not planned == digest(target.before) == target.digest():
        raise target.failed("somebody changed it meanwhile; nothing was changed: run again")


def _put(target: Target, data: bytes | None) -> str:
    try:
        return target.put(data, _SUFFIX)
    except OSError:
        target.restored()
        raise target.failed(f"cannot write {target.file}; nothing was changed") from None


def _broken(what: str) -> str:
    refused = tunables_refusal()
    return f"the tunables do not compile with {what}: {refused}" if refused else ""


def _lost(what: str, had: list[str], have: list[str]) -> str:
    lost = [file for file in had if file not in have]
    return f"with {what} these no longer compile: {', '.join(lost)}" if lost else ""


def _unloaded(name: str, what: str) -> str:
    """What is loaded of ours was compiled with the old values."""
    fine = name != TUNABLES_SITE or reload_ours()
    return "" if fine else f"with {what} a profile of ours no longer loads"


def _compiling() -> list[str]:
    """The profile files that compile."""
    files = _profile_files()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        fine = pool.map(lambda file: parse("--base", at(FOLDER), "-Q", "-K", "-T", file).ok, files)
        return [file for file, compiles in zip(files, fine) if compiles]


def _profile_files() -> list[str]:
    names = sorted(name for name in os.listdir(at(FOLDER)) if not _SKIPPED.fullmatch(name))
    return [file for name in names if os.path.isfile(file := at(f"{FOLDER}/{name}"))]


def _back(target: Target, name: str, why: str) -> None:
    try:
        target.put(target.before, _SUFFIX)
    except OSError as error:
        kept = f"{target.folder.path}/files/{digest(target.before)}"
        how = f"putting the old text back failed ({error.strerror}): it is {kept}"
        raise target.failed(f"{why}; {how}") from None
    if name == TUNABLES_SITE:
        reload_ours()
    target.restored()
    raise target.failed(f"{why}; the old text is back")


def _tell(name: str, had: int, have: int) -> None:
    every = len(_profile_files())
    say(f"{name}: repaired: {have} of {every} profile files compile, {had} did before")
    # loading the others is not ours: they may be switched off on purpose
    if have != had:
        again = "systemctl reload apparmor"
        say(f"{name}: if the node was booted with it broken, load what is missing: {again}")
