"""recover RUN CTID... [--if-cut] - take up a commit that was cut short (a kill, a reboot).

The journal says how far it came: it is proven, or put back; a container that was being made
(`node.create`) is taken away, and one that was being destroyed (`node.destroy`) is. Of an
installation of Docker (`node.install`) it is only told how far it came: the next one goes on with
it. With `--if-cut`
nothing is done and nothing said where it was not cut short: so it is called whenever the unit of a
commit ends.

Exit: as `node.commit`; 0 also where the commit had ended, or nothing had been changed
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from node import bounded, conf, install
from node.commit import check_journal, each, named, taken_up
from node.create import Creation
from node.destroy import Destruction
from node.journal import Journal
from node.root import at
from node.say import Stop
from node.state import RunFolder, lock
from node.transaction import Transaction
from phoenix.docker.names import DAEMON_JSON
from phoenix.runs.journal import UNDONE, JournalError
from phoenix.runs.outcome import Ending

#: Events after which a commit has still to come to its end.
OPEN = ("intent", "started", "back")


def main(words: list[str]) -> int:
    """Do it, each under the lock: the commit may work still."""
    if_cut = words[-1:] == ["--if-cut"]
    codes = [_take_up(one, if_cut) for one in each(words[:-1] if if_cut else words)]
    return max(codes)


def _take_up(words: list[str], if_cut: bool) -> int:
    folder, ctid = named(words)
    if if_cut and not _is_cut(folder, ctid):
        return 0
    if install.is_cut(folder, ctid):
        with lock(f"run {folder.run}, CT {ctid}", ctid=ctid):
            return install.settle(folder, ctid)
    with taken_up(words, _transaction) as its:
        return recover(its)


def _transaction(folder: RunFolder, ctid: int) -> Transaction:
    """The kind that was begun: by what is staged for it."""
    if os.path.exists(folder.staged(ctid, "create.json")):
        return Creation(folder, ctid)
    if os.path.exists(folder.staged(ctid, "destroy")):
        return Destruction(folder, ctid)
    return Transaction(folder, ctid)


def recover(its: Transaction) -> int:
    """Bring it to its end; gives the exit code."""
    check_journal(its)
    events = _events(its.journal, its.ctid)
    _drop_cut_conf(its)
    last = events[-1]["event"] if events else ""
    if last not in OPEN:
        its.say(f"run {its.run} has ended for it already")
        return 0
    its.say(f"run {its.run} was interrupted here; recovering it")
    its.gate.is_cut_short = True
    for event in events:
        if event["event"] in ("intent", "started"):
            its.left = event.get("after", its.left)
        its.is_undone = event.get("why") == UNDONE
    if isinstance(its, Creation):
        return its.take_up(last)
    if isinstance(its, Destruction):
        return its.take_up()
    if last == "back":
        return its.back()
    if its.digest() == its.staged.before:
        return _end_unchanged(its)
    its.gate.restarted = last == "started" and its.gate.running()
    if its.daemon:
        its.daemon.docker_due = not its.gate.restarted
    return its.end()


def _end_unchanged(its: Transaction) -> int:
    """It never came to the swap, or to one that changes the conf."""
    up = True
    # it ran before: stopped for its restart, or by a reboot that does not start it
    if its.staged.restart and not its.gate.running():
        up = its.gate.starts("starts again")
    if its.daemon:
        _undo_daemon(its)
    its.note("restored", after=its.staged.before)
    its.say("recovered: nothing had been changed")
    if up:
        return 0
    text = f"it ran before and does not start: pct start {its.ctid} --debug"
    return its.ends(Ending.FAILED, text)


def _undo_daemon(its: Transaction) -> None:
    """The old daemon.json, and have Docker read it, in case it has read the new one."""
    assert its.daemon
    its.daemon.docker_due = False
    if not its.daemon.back():
        its.note_daemon("failed")
        return
    if its.daemon.docker_due:
        its.daemon.clear_driver()
        its.daemon.restart()
    its.note_daemon("restored", after=its.daemon.before)


def _is_cut(folder: RunFolder, ctid: int) -> bool:
    """Whether it is for us to take up. What the commit has refused, and said so, is not."""
    journal = Journal(folder)
    try:
        journal.read()
    except JournalError:
        return False
    last = _events(journal, ctid)[-1:]
    return bool(last) and last[0]["event"] in OPEN and not _node_goes_down()


def _node_goes_down() -> bool:
    """Nothing starts any more then; the next run takes it up."""
    asked = bounded.run(["systemctl", "is-system-running"], seconds=30, limit=4096)
    return asked.out.strip() == b"stopping"


def _events(journal: Journal, ctid: int) -> list[dict[str, Any]]:
    """The lines of a journal that fits about a container's conf, oldest first.

    A last line that was cut short is none.
    """
    entries = [_entry(line) for line in journal.text().split("\n")]
    mine = [entry for entry in entries if entry.get("ctid") == ctid]
    # in the version before a line that names nothing ended all of a container
    others = {"packages", "removed"}
    mine = [entry for entry in mine if not others & entry.keys()]
    return [entry for entry in mine if entry.get("file") != DAEMON_JSON]


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        # cut short, or none
        return {}
    return entry if isinstance(entry, dict) else {}


def _drop_cut_conf(its: Transaction) -> None:
    """Remove what a kill left beside the conf, under Proxmox's lock: it may be writing itself."""
    folder, name = os.path.split(at(its.conf_name))
    with suppress(Stop, OSError), conf.locked(its.ctid):
        for entry in os.listdir(folder):
            if entry.startswith(f"{name}.tmp."):
                os.unlink(f"{folder}/{entry}")
