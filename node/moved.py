"""Where a container is that is not on this node: confs are shared by the cluster, and one that was
migrated has its conf in the folder of the node where it now is.
"""

from __future__ import annotations

import os

from node.files import names_in
from node.root import at

_PVE = "/etc/pve"


def is_away(ctid: int) -> bool:
    """Whether this node has no such container; without its confs at all that is not known."""
    confs = at(f"{_PVE}/lxc")
    return os.path.isdir(confs) and not os.path.exists(f"{confs}/{ctid:d}.conf")


def node_of(ctid: int) -> str:
    """The node of the cluster that has it instead of this one, "" for none."""
    if is_away(ctid):
        for node in names_in(at(f"{_PVE}/nodes")):
            if os.path.exists(at(f"{_PVE}/nodes/{node}/lxc/{ctid:d}.conf")):
                return node
    return ""


def why_away(ctid: int) -> str:
    """In words where it is instead; "" for one that is here."""
    if node := node_of(ctid):
        return f"it is on {node} now"
    return "its conf is gone" if is_away(ctid) else ""
