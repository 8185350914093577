"""Where a container can be made: taken ids, storages, templates, ZFS pools."""

from __future__ import annotations

import os
import re
from typing import Any

from node.backups import StorageError, folder, is_on, node_name, patience, storages, words
from node.bounded import run
from node.files import names_in
from node.root import at

_GUEST = re.compile(r"([1-9][0-9]{2,8})\.conf")


def observe(templates: list[str]) -> dict[str, Any]:
    """What `pct create` finds on this node.

    - `guests`: ids of virtual machines of the whole cluster, each with its node
    - `storages`: name to `type`, `content` ("" where it does not say), `usable` on this node, and
      the `pool` of one of ZFS, the dataset that its disks are in ("" of any other)
    - `templates`: those of the asked-for that are there, or that cannot be looked for
    - `pools`: the ZFS pools that are imported
    """
    known = storages()
    node = node_name()
    return {
        "guests": _guests(),
        "storages": {
            name: {
                "type": one["type"],
                "content": one.get("content", ""),
                "usable": not is_on(one.get("disable", ""))
                and node in words(one.get("nodes", node)),
                "pool": one.get("pool", "") if one["type"] == "zfspool" else "",
            }
            for name, one in sorted(known.items())
        },
        "templates": [name for name in templates if _is_there(name, known)],
        # the kernel's own statistics: a folder for each pool (zfs, spa_stats.c)
        "pools": [
            name
            for name in names_in(at("/proc/spl/kstat/zfs"))
            if os.path.isdir(at(f"/proc/spl/kstat/zfs/{name}"))
        ],
    }


def _guests() -> dict[str, str]:
    return {
        found[1]: node
        for node in names_in(at("/etc/pve/nodes"))
        for name in names_in(at(f"/etc/pve/nodes/{node}/qemu-server"))
        if (found := _GUEST.fullmatch(name))
    }


def _is_there(template: str, known: dict[str, dict[str, str]]) -> bool:
    """Whether a template is there: a path, or `STORAGE:vztmpl/NAME`; true where nobody can tell."""
    path = template
    if not template.startswith("/"):
        name, _, file = template.partition(":vztmpl/")
        if name not in known:
            return False
        try:
            place = folder(name, known[name], "vztmpl", "template/cache")
        except StorageError:
            return False
        if place is None:
            return True
        path = f"{place}/{file}"
    # in a process of its own: a share may hang
    return run(["test", "-f", at(path)], seconds=patience()).ok
