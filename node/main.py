"""The verbs: `VERB [WORD]...`, a JSON request on stdin where a verb takes one.

Exit codes of every verb: 0 done or nothing to do · 1 failed · 2 refused, nothing was changed;
others stand beside the verb.
"""

from __future__ import annotations

import binascii
import importlib
import io
import json
import os
import signal
import sys
import zlib
from typing import Any

from node.say import Stop, say

#: Where each verb is; only what is asked for is loaded.
VERBS = {
    "observe": "node.observe",
    "follow": "node.follow",
    "archive": "node.archive",
    "begin": "node.begin",
    "stage": "node.stage",
    "commit": "node.commit",
    "create": "node.create",
    "destroy": "node.destroy",
    "recover": "node.cut",
    "restore": "node.restore",
    "restart": "node.restart",
    "snapshot": "node.snapshot",
    "try-etc-pve": "node.try_etc_pve",
    "write-conf": "node.conf",
    "packages": "node.packages",
    "install": "node.install",
    "daemon-json": "node.daemon_json",
    "install-profile": "node.profile",
    "install-file": "node.own_file",
    "install-tunables": "node.tunables",
    "install-watch": "node.watch_files",
    "watch": "node.watch",
}


def main(words: list[str]) -> int:
    """Do one verb; gives the exit code. An unexpected OSError is a failure in one line."""
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # whatever the node's own language is
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # losing the operator must not end anything half way
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not words or words[0] not in VERBS:
        sys.stderr.write(f"phoenix-harden: no such verb: {' '.join(words[:1])}\n")
        return 2
    verb = importlib.import_module(VERBS[words[0]])
    try:
        return int(verb.main(words[1:]) or 0)
    except Stop as stop:
        if stop.text:
            say(stop.text)
        return stop.code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{words[0]}: {where}{error.strerror or error}")
        return 1


def request() -> Any:
    """The request: a line of base64 of zlib of JSON. Raises Stop where it came cut short."""
    try:
        line = sys.stdin.buffer.readline()
        return json.loads(zlib.decompress(binascii.a2b_base64(line)))
    except (ValueError, zlib.error):
        raise Stop(
            1, "what was to be done did not arrive whole; nothing was changed: run again"
        ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
