"""recover RUN CTID... - take up a commit that was cut short (`node.cut`: where it was).

The journal says how far it came: it is proven, or restored; a container that was being made
(`node.create`) is taken away, and one that was being destroyed (`node.destroy`) is. Of an
installation of Docker (`node.install`) it is only told how far it came: the next one goes on with
it.

Exit: as `node.commit`; 0 also where the commit had ended, or nothing had been changed; 4 where the
container is on another node by now, and its journal is closed as `failed`: what was changed of it
is not proven
"""

from __future__ import annotations

import os
from contextlib import suppress

from node import conf, cut, install
from node.commit import check_journal, taken_up
from node.create import Creation
from node.destroy import Destruction
from node.moved import node_of
from node.root import at
from node.say import Stop, say
from node.state import RunFolder, each, lock, named
from node.transaction import Transaction
from phoenix.runs.journal import UNDONE
from phoenix.runs.outcome import Ending


def main(words: list[str]) -> int:
    """Do it, each under the lock: the commit may work still."""
    every = each(words)
    if len(every) == 1:
        return _take_up(every[0])
    codes = []
    for one in every:
        try:
            codes.append(_take_up(one))
        except Stop as stop:
            # the others are none the worse for it
            say(stop.text)
            codes.append(stop.code)
    return max(codes)


def _take_up(words: list[str]) -> int:
    folder, ctid = named(words)
    if install.is_cut(folder, ctid):
        with lock(f"run {folder.run}, CT {ctid}", ctid=ctid):
            return install.recover(folder, ctid)
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
    events = cut.events(its.journal).get(its.ctid, [])
    _drop_cut_conf(its)
    last = events[-1]["event"] if events else ""
    its.ha.remember()
    if last not in cut.OPEN:
        return _end_ended(its)
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
    if node := node_of(its.ctid):
        return _end_away(its, node)
    its.ha.take()
    if last == "back":
        return its.back()
    if its.digest() == its.staged.before:
        return _end_unchanged(its)
    its.gate.restarted = last == "started" and its.gate.running()
    if its.daemon:
        its.daemon.docker_due = not its.gate.restarted
    return its.end()


def _end_ended(its: Transaction) -> int:
    """Nothing of it is open, unless HA ignores it still."""
    if its.ha.noted is None:
        its.say(f"run {its.run} has ended for it already")
        return 0
    its.say(f"run {its.run} has left it ignored by HA; putting that back")
    if not (left := its.ha.give_back()):
        return 0
    if not its.ha.waits:
        return its.tells(Ending.FAILED, left)
    # how it is is no fault of this recovery
    its.say(left)
    return 0


def _end_away(its: Transaction, node: str) -> int:
    """Nothing of it can be proven or put back here; what may be there still is for a rollback."""
    its.note_daemon("failed")
    its.note("failed")
    return its.ends(Ending.CHANGED, f"it is on {node} now: nothing was changed")


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
    if up and not (left := its.ha.give_back()):
        return 0
    if up:
        return its.tells(Ending.FAILED, left)
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


def _drop_cut_conf(its: Transaction) -> None:
    """Remove what a kill left beside the conf, under Proxmox's lock: it may be writing itself."""
    folder, name = os.path.split(at(its.conf_name))
    with suppress(Stop, OSError), conf.locked(its.ctid):
        for entry in os.listdir(folder):
            if entry.startswith(f"{name}.tmp."):
                os.unlink(f"{folder}/{entry}")
