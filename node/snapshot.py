"""snapshot CTID NAME - take a Proxmox snapshot of a container. Request: {"description": of it}.

In a transient unit, so that losing the operator does not leave it half done. What the conf says
afterwards counts, not what pct returns.

Exit: 0 it is there · 1 it is not, the last line says why and what to do · 2 another run works here
"""

from __future__ import annotations

from node.bounded import run
from node.files import read, text
from node.main import request
from node.root import at
from node.say import Stop, say
from node.state import lock

#: Seconds for it: storage may have to write out what a busy container holds.
_PATIENCE = 1500


def main(words: list[str]) -> None:
    """Take it, under the lock of this node."""
    ctid, name = int(words[0]), words[1]
    description = request()["description"]
    with lock(f"run {name[len('phoenix-') :]}, CT {ctid}"):
        why = _take(ctid, name, description)
        _check(ctid, name, why)
    say(f"snapshot {name} taken (pct delsnapshot {ctid} {name} removes it)", ctid)


def _take(ctid: int, name: str, description: str) -> str:
    """Have pct take it; gives what it says, in one line."""
    call = ["pct", "snapshot", f"{ctid:d}", name, "--description", description]
    ended = run(call, seconds=_PATIENCE, merge=True)
    said = text(ended.out or ended.err) or ""
    return " ".join(said.split()) or "pct gives no reason"


def _check(ctid: int, name: str, why: str) -> None:
    """Raise Stop(1) unless the conf has it whole."""
    sections = _sections(text(read(at(f"/etc/pve/lxc/{ctid:d}.conf"))) or "")
    mine = sections.get(f"[{name}]")
    if not mine:
        raise Stop(
            1,
            f"CT {ctid}: refused: no snapshot was taken ({why}): "
            f"leave snapshot=true out, and have a backup (vzdump {ctid})",
        )
    # pve-guest-common AbstractConfig.pm: snapstate and lock stay while it is not complete
    if _has(mine, "snapstate:") or _has(sections[""], "lock:"):
        raise Stop(
            1,
            f"CT {ctid}: refused: the snapshot {name} is not complete ({why}): "
            f"pct unlock {ctid}; pct delsnapshot {ctid} {name} --force 1",
        )


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
