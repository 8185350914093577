"""install-profile NAME RUN MODE - install and load one AppArmor profile.

Request: {"text": its text}. RUN: the run's id, for the before-image and the journal. MODE: enforce
or complain, as the text says and the kernel must have it then.

Compiled before anything is written; replaced, never removed and added (that would turn every
running task of the profile unconfined, for good); read back from the kernel.

Exit: 0 loaded in that mode · 1 nothing changed · 2 refused
"""

from __future__ import annotations

from node.files import make_folder, raw, write
from node.kernel import loaded, remember
from node.main import request
from node.parser import FOLDER, succeeds
from node.say import Stop
from node.target import Target
from phoenix.apparmor.observed import PROFILE_NAME

#: The service passes over it (rc.apparmor.functions), should we die in between.
_SUFFIX = ".dpkg-new"


def main(words: list[str]) -> None:
    """Install it, or leave everything as it was."""
    name, run, mode = words
    if not PROFILE_NAME.fullmatch(name) or mode not in ("enforce", "complain"):
        raise Stop(2, f"refused: {name} ({mode}) is no profile of ours")
    data = raw(request()["text"])
    target = Target(run, f"{FOLDER}/{name}", about=f"profile {name}", profile=name)
    _compile(target, name, data)
    target.intend(data)
    why = _put(target, data) or _load(target, name, mode)
    if not why:
        target.done()
        remember([name])
        return
    _back(target)
    raise target.failed(f"{why}; the old state is back")


def _compile(target: Target, name: str, data: bytes) -> None:
    folder = f"{target.folder.path}/profiles"
    try:
        make_folder(folder)
        write(f"{folder}/{name}", data)
    except OSError:
        raise target.failed(f"cannot write to {target.folder.path}") from None
    # -K: no cache of a try; -T: not from the cache either
    if not succeeds("-Q", "-K", "-T", f"{folder}/{name}"):
        raise target.failed("it does not compile on this node; nothing was changed")


def _put(target: Target, data: bytes) -> str:
    try:
        return target.put(data, _SUFFIX, anew=True)
    except OSError:
        target.restored()
        raise target.failed(f"cannot write {target.file}; nothing was changed") from None


def _load(target: Target, name: str, mode: str) -> str:
    """Have the kernel take it; gives why it has not."""
    loads = succeeds("-r", target.file)
    found = loaded().get(name)
    if loads and found == mode:
        return ""
    return f"the kernel did not take it ({f'{name} ({found})' if found else 'not loaded'})"


def _back(target: Target) -> None:
    try:
        target.put(target.before, _SUFFIX, anew=True)
    except OSError as error:
        raise target.failed(f"putting the old text back failed: {error.strerror}") from None
    if target.before is not None:
        succeeds("-r", target.file)
    target.restored()
