"""What this node's parser does not take. Nothing is loaded."""

from __future__ import annotations

from node.bounded import MISSING, TIME, run
from node.files import text
from node.root import at
from phoenix.apparmor.observed import FOLDER

_PATIENCE = 60

# both variables are used: one that nothing sets is an error only then
_TUNABLES = """\
include <tunables/global>
profile phoenix-harden-tunables { @{HOME}/** r, @{HOMEDIRS}/** r, }
"""


def refusal(profile: str) -> str:
    """Why the node's parser does not take a profile, "" if it does."""
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
