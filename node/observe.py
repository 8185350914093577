"""observe - what the node is and has, everything that is asked for in one command; changes nothing.

The request names sections, each with its arguments; the answer has those sections, one JSON
document in one line of stdout. A section that fails is an error of the whole: half a picture is
none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from node.beside import beside
from node.main import request
from node.say import Stop

#: Where each section is: a module of this package, and its function.
SECTIONS = {
    "containers": ("containers", "observe"),
    "apparmor": ("apparmor", "observe"),
    "storage": ("storage", "observe"),
    "dockers": ("dockers", "observe"),
    "rules": ("rules", "observe"),
    "runs": ("runs", "observe"),
    "run_files": ("runs", "run_files"),
    "staged": ("runs", "staged"),
    "denials": ("denials", "observe"),
    "watch": ("watch_files", "observe"),
    "backups": ("backups", "observe"),
    "fallen": ("fallen", "observe"),
    "hookscripts": ("hookscripts", "observe"),
    "overrides": ("overrides", "observe"),
    "versions": ("versions", "observe"),
    "etc_pve": ("etc_pve", "observe"),
    "stock": ("stock", "observe"),
    "includes": ("includes", "observe"),
    "cluster": ("cluster", "observe"),
}

#: Sections that are looked at one after the other: those that reach into guests, for what one has
#: left there is ended; those that look into all confs, which the first of them reads for all.
_LANES = (("dockers", "fallen"), ("storage", "hookscripts", "includes"))


def main(_: list[str]) -> int:
    """Read the request, print the answer. The words only tell people what is asked."""
    json.dump(answer(request()), sys.stdout)
    print()
    return 0


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The asked-for sections. Raises Stop for one that there is not.

    - `containers`: {} · `apparmor`: {"files": [NAME]}
    - `storage`: {"paths": [PATH], "nvidia": bool}, the latter false if left out
    - `dockers`: {"ctids": [CTID], "probe": [CTID]}: those of them that run are asked
    - `rules`: {"rules": [[CTID, RULE]]} · `runs`: {"unfinished": bool}
    - `run_files`: {"run": ID, "paths": [PATH]} · `staged`: {"run": ID, "ctid": CTID}
    - `denials`: {"since": [SECONDS] or null: from each running container's start, "only": [CTID]}
    - `watch`: {} · `backups`: {"listed": bool} · `fallen`: {"only": [CTID]}
    - `hookscripts`: {} · `overrides`: {} · `versions`: {} · `etc_pve`: {}
    - `stock`: {"templates": [PATH or STORAGE:vztmpl/NAME]} · `includes`: {}
    - `cluster`: {}
    """
    for name in asked:
        if name not in SECTIONS:
            raise Stop(2, f"observe: no such section: {name}")
    # guests first, who take longest; the programs that others start work beside Python
    shared = [tuple(name for name in lane if name in asked) for lane in _LANES]
    alone = [(name,) for name in asked if not any(name in lane for lane in shared)]
    lanes = [*filter(None, shared), *alone]

    def go(lane: tuple[str, ...]) -> dict[str, Any]:
        return {name: _section(name, asked[name]) for name in lane}

    found = {
        name: its for lane in beside(go, lanes, len(lanes)).values() for name, its in lane.items()
    }
    return {name: found[name] for name in asked}


def _section(name: str, arguments: Mapping[str, Any]) -> Any:
    module, function = SECTIONS[name]
    # only what is asked for is loaded
    return getattr(import_module(f"node.{module}"), function)(**arguments)
