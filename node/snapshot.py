"""snapshot CTID NAME - take a Proxmox snapshot of a container. Request: {"description": of it}.

In a transient unit, so that losing the operator does not leave it half done. What the conf says
afterwards counts, not what pct returns.

Exit: 0 it is there, or the container on another node by now · 1 it is not, the last line says why
and what to do · 2 another run works here
"""

from __future__ import annotations

from node.bounded import run
from node.files import read, text
from node.main import request
from node.moved import node_of
from node.root import at
from node.say import Stop, say
from node.state import lock

#: Seconds for it: storage may have to write out what a busy container holds.
_PATIENCE = 1500


class SnapshotError(Exception):
    """Why a snapshot is not there whole, in one line; `begun`: a part of it is."""

    def __init__(self, why: str, begun: bool) -> None:
        super().__init__(why)
        self.begun = begun


def main(words: list[str]) -> None:
    """Take it, under the lock of this node."""
    ctid, name = int(words[0]), words[1]
    description = request()["description"]
    with lock(f"run {name[len('phoenix-') :]}, CT {ctid}"):
        if node := node_of(ctid):
            say(f"it is on {node} now: no snapshot is taken here", ctid)
            return
        try:
            take(ctid, name, description)
        except SnapshotError as error:
            raise Stop(1, f"CT {ctid}: refused: {_refusal(ctid, name, error)}") from None
    say(f"snapshot {name} taken (pct delsnapshot {ctid} {name} removes it)", ctid)


def _refusal(ctid: int, name: str, error: SnapshotError) -> str:
    if error.begun:
        return (
            f"the snapshot {name} is not complete ({error}): "
            f"pct unlock {ctid}; pct delsnapshot {ctid} {name} --force 1"
        )
    return (
        f"no snapshot was taken ({error}): "
        f"leave snapshot=true out, and have a backup (vzdump {ctid})"
    )


def take(ctid: int, name: str, description: str) -> None:
    """Have pct take it. Raises SnapshotError unless the conf has it whole."""
    call = ["pct", "snapshot", f"{ctid:d}", name, "--description", description]
    ended = run(call, seconds=_PATIENCE, merge=True)
    said = " ".join((text(ended.out or ended.err) or "").split()) or "pct gives no reason"
    sections = _sections(text(read(at(f"/etc/pve/lxc/{ctid:d}.conf"))) or "")
    mine = sections.get(f"[{name}]")
    if not mine:
        raise SnapshotError(said, begun=False)
    # pve-guest-common AbstractConfig.pm: snapstate and lock stay while it is not complete
    if _has(mine, "snapstate:") or _has(sections[""], "lock:"):
        raise SnapshotError(said, begun=True)


def _sections(conf: str) -> dict[str, list[str]]:
    """The lines of each, by its header; the main one's is ""."""
    found: dict[str, list[str]] = {"": []}
    header = ""
    for line in conf.splitlines():
        if line.startswith("["):
            header = line
            found.setdefault(header, [])
        else:
            found[header].append(line)
    return found


def _has(lines: list[str], start: str) -> bool:
    return any(line.startswith(start) for line in lines)
