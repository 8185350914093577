"""The archive of a node's own configuration, as it arrives (`node.archive`), and its name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from phoenix.text.printable import printable

#: What is in it, for people.
CONTENT = "/etc/pve without priv/ and private keys or keyrings, and /etc/apparmor.d"


@dataclass(frozen=True)
class Archive:
    """Its bytes, a tar.gz; how many files it has; what is not in it and why, in printable lines."""

    data: bytes
    files: int
    left_out: tuple[str, ...] = ()


def archive_name(node: str, run: str) -> str:
    """The name of its file: of the node, and of the run before which it was made.

    >>> archive_name("pve1", "r20261122T013000Z-beef")
    'pve1-r20261122T013000Z-beef.tar.gz'
    """
    return f"{re.sub('[^A-Za-z0-9.-]', '_', node).lstrip('.') or 'node'}-{run}.tar.gz"


def read_archive(lines: Sequence[str]) -> Archive:
    """Read what the node has printed. Raises ValueError where it did not arrive whole."""
    starts = [place for place, line in enumerate(lines) if line.startswith("{")]
    if not starts:
        raise ValueError("the archive did not arrive whole")
    try:
        head = json.loads(lines[starts[0]])
        data = base64.b64decode("".join(lines[starts[0] + 1 :]), validate=True)
        if hashlib.sha256(data).hexdigest() != head["sha256"]:
            raise ValueError("another digest")
        left_out = tuple(printable(str(one), None) for one in head["left_out"])
        return Archive(data, int(head["files"]), left_out)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("the archive did not arrive whole") from None
