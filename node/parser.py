"""The node's own `apparmor_parser`, where it loads something."""

from __future__ import annotations

import glob
import os
import re

from node.bounded import Ended, run
from node.files import read, text
from node.kernel import loaded, remember
from node.root import at
from node.say import say
from phoenix.apparmor.observed import MARKER

#: Where profiles are.
FOLDER = "/etc/apparmor.d"

#: Seconds for one file; ours take less than one.
_PATIENCE = 120


def parse(*words: str) -> Ended:
    """Run it with these words."""
    return run(["apparmor_parser", *words], seconds=_PATIENCE, merge=True)


def succeeds(*words: str) -> bool:
    """Run it, and tell the operator what it says; gives whether all is well."""
    ended = parse(*words)
    said = text(ended.out or ended.err) or ""
    if said.strip():
        say(said.rstrip("\n"))
    return ended.ok


def naming(abi: str) -> list[str]:
    """The profiles whose files name an abi: without it none of them loads at the next boot."""
    named = re.compile(rb'^\s*abi\s+[<"]' + re.escape(abi.encode()) + rb'[>"]', re.MULTILINE)
    files = sorted(file for file in glob.glob(at(f"{FOLDER}/*")) if os.path.isfile(file))
    return [os.path.basename(file) for file in files if named.search(read(file) or b"")]


def compile_anew(abi: str) -> bool:
    """Load anew what names an abi that has changed. Gives whether all of it loads."""
    names = naming(abi)
    for name in names:
        # the parser's cache does not look at the abi, but at this
        os.utime(at(f"{FOLDER}/{name}"))
    return not names or reload_ours()


def reload_ours() -> bool:
    """Load our profiles anew that are loaded: they were compiled with what was there then.

    Replaced, never removed and added. Gives whether all of them load.
    """
    there = loaded()
    for file in sorted(glob.glob(at(f"{FOLDER}/lxc-*"))):
        name = file.rpartition("/")[2]
        if name in there and MARKER.encode() in (read(file) or b""):
            if not succeeds("--base", at(FOLDER), "-r", "-T", file):
                return False
            remember([name])
    return True
