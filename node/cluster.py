"""What a node knows of its cluster: the members, and the keys that their hosts have. Plain files of
pmxcfs, no API and no credentials.
"""

from __future__ import annotations

import glob
import os
from typing import Any

from node.bounded import MIB
from node.files import read, text
from node.root import at

#: pmxcfs, memdb.h: none of its files is larger.
_LIMIT = MIB
_MEMBERS = "/etc/pve/.members"
#: One line for each name and kind of key: PVE::Cluster::Setup, `ssh_create_node_known_hosts` (since
#: 8.2.1, a file a node) and `ssh_merge_known_hosts` (one for all, of earlier ones).
_KNOWN = ("/etc/pve/nodes/*/ssh_known_hosts", "/etc/pve/priv/known_hosts")


def observe() -> dict[str, Any]:
    """`members`: the text of .members, null without one; `known`: a file of host keys to its text.

    The files that are a node's own are by its name, the one of all of them is "".
    """
    known = {}
    for pattern in _KNOWN:
        for path in sorted(glob.glob(at(pattern))):
            name = os.path.basename(os.path.dirname(path))
            known["" if name == "priv" else name] = _text(path)
    return {"members": _text(at(_MEMBERS)), "known": known}


def _text(path: str) -> str | None:
    return text((read(path) or b"")[:_LIMIT]) or None
