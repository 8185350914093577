"""install-file PATH RUN - install a file of ours, of the few that there are beside the profiles.

Request: {"text": its text}. RUN: the run's id, for the before-image and the journal.

Replaced by a rename: whoever reads or runs the old one goes on with it.

Exit: 0 installed · 1 nothing changed, unless it says otherwise · 2 refused
"""

from __future__ import annotations

from node.files import raw
from node.main import request
from node.parser import compile_anew
from node.say import Stop
from node.target import Target
from phoenix.apparmor.observed import ABI, ABI_OURS, OWN_FILES


def main(words: list[str]) -> None:
    """Install it with the mode that it needs."""
    path, run = words
    if path not in OWN_FILES:
        raise Stop(2, f"{path}: refused: no file of ours")
    data = raw(request()["text"])
    target = Target(run, path)
    try:
        # on a full disk nothing is begun: what comes after this one needs more
        target.folder.keep(data)
    except OSError:
        raise target.failed(f"cannot write to {target.folder.path}; nothing was changed") from None
    target.intend(data)
    try:
        why = target.put(data, ".phoenix-new", OWN_FILES[path], anew=True)
    except OSError:
        target.restored()
        raise target.failed("cannot be written; nothing was changed") from None
    if why:
        raise target.failed(f"is in place, but {why}")
    if path == ABI and not compile_anew(ABI_OURS):
        _back(target)
        raise target.failed("with it a profile of ours does not load; the old text is back")
    target.done()


def _back(target: Target) -> None:
    try:
        target.put(target.before, ".phoenix-new", OWN_FILES[target.path], anew=True)
    except OSError as error:
        raise target.failed(f"putting the old text back failed: {error.strerror}") from None
    compile_anew(ABI_OURS)
    target.restored()
