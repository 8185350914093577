"""destroy RUN CTID - destroy a container that a run has made, for a rollback of that run.

Only while its conf is the one that RUN/CTID/before names: as that run has left it. It is shut down
first. Its datasets and folders stay. Cut short, it is gone on with (`node.recover`).

Exit: 0 it is gone · 1 it is not, and as it was · 2 refused, nothing was changed · 3 it is gone in
part: look at it · 4 its conf is not the one that this was planned on, nothing was changed
"""

from __future__ import annotations

import os
from contextlib import suppress

from node import restart
from node.bounded import run
from node.commit import check_journal, taken_up
from node.files import NONE, digest, read, sync_folder
from node.files import text as text_of
from node.root import at
from node.say import Stop
from node.state import RunFolder
from node.transaction import Transaction
from phoenix.pve.conf import PveConf, is_true
from phoenix.runs.outcome import Ending

#: Seconds for what Proxmox does by itself; storage may take its time.
_PATIENCE = 1500

#: The lock of a conf whose disks are gone (pve-container API2/LXC.pm, `destroy_vm`).
_DESTROYED = "destroyed"


def main(words: list[str]) -> int:
    """Do it under the lock."""
    with taken_up(words, Destruction) as its:
        its.begin()
        return its.end()


class Destruction(Transaction):
    """The end of one container."""

    def __init__(self, folder: RunFolder, ctid: int) -> None:
        """Read what is staged. Raises Stop where nothing whole is."""
        super().__init__(folder, ctid)
        if read(folder.staged(ctid, "destroy")) is None:
            raise self.refused("nothing says that it is to be destroyed: nothing was changed")

    def begin(self) -> None:
        """Keep its conf and write down what shall be. Raises Stop where nothing was changed."""
        check_journal(self)
        if self.digest() != self.staged.before:
            raise self.changed(self.conf_name)
        found = read(at(self.conf_name)) or b""
        if why := in_the_way(PveConf.from_bytes(found)):
            raise self.refused(f"{why}: nothing was changed")
        try:
            self.folder.keep(found)
            note = read(self.note_path)
            ours = NONE if note is None else self.folder.keep(note)
        except OSError:
            where = self.folder.path
            raise self.refused(f"cannot keep a copy of {self.conf_name} in {where}") from None
        self.write("intent", before=self.staged.before, after=NONE, ours=ours)

    def end(self) -> int:
        """Destroy it, or have it as it was; gives the exit code."""
        ran = self.gate.running()
        why: list[str] = []
        gone = self.gate.check("pct destroy", lambda: not self._left(why))
        if gone:
            forget_note(self)
            self.note("done", after=NONE)
            return self.ends(Ending.DONE, "destroyed")
        if is_destroyed(read(at(self.conf_name)) or b""):
            # the journal leaves it open: the next run goes on
            return self.ends(Ending.FAILED, f"it is gone in part: {why[0]}")
        if ran and not self.gate.running() and not self.gate.starts("starts again"):
            why.append(f"and it does not start: pct start {self.ctid} --debug")
        if self.digest() != self.staged.before:
            return self._left_to_its_owner(why)
        self.note("restored", after=self.staged.before)
        return self.ends(Ending.RESTORED, f"it is not destroyed: {'; '.join(why)}")

    def take_up(self) -> int:
        """Go on with what was cut short; gives the exit code."""
        found = read(at(self.conf_name))
        is_ours = digest(found) == self.staged.before or is_destroyed(found or b"")
        if found is not None and not is_ours:
            return self._left_to_its_owner([])
        return self.end()

    def _left_to_its_owner(self, why: list[str]) -> int:
        self.note("failed")
        text = f"{self.conf_name} was changed meanwhile: left as it is"
        return self.ends(Ending.FAILED, "; ".join((text, *why[1:])))

    def _left(self, why: list[str]) -> str:
        left = destroy(self.ctid, 90)
        if left:
            self.say(left)
            why.append(left)
        return left


def in_the_way(conf: PveConf) -> str:
    """Why a container is not to be destroyed, as far as its conf tells; "" for nothing."""
    if conf.lock and conf.lock != _DESTROYED:
        return f"locked ({conf.lock})"
    if conf.template:
        return "a template"
    return "protected (protection: 1)" if is_true(conf.main["protection"]) else ""


def is_destroyed(found: bytes) -> bool:
    """Whether a conf is what a `pct destroy` leaves that was cut short: its disks are gone."""
    conf = PveConf.from_bytes(found)
    return conf.lock == _DESTROYED and conf.main.keys() == ("lock",)


def destroy(ctid: int, seconds: int) -> str:
    """Stop it, within so many seconds (`node.restart.stop`), and have pct destroy it.

    Gives why it is there still, "" where it is gone.
    """
    path = at(f"/etc/pve/lxc/{ctid:d}.conf")
    found = read(path)
    if found is None:
        return ""
    made = PveConf.from_bytes(found)
    if made.lock:
        unlock(ctid)
    # of a protected one it is known by now that it is ours
    if is_true(made.main["protection"]):
        _pct("set", f"{ctid:d}", "--protection", "0")
    ready = read(path)
    if restart.state(ctid) == "running":
        try:
            restart.stop(ctid, seconds)
        except Stop as stop:
            return stop.text
    # a shutdown takes its time, and whoever edits a conf meanwhile means to keep it
    if read(path) != ready:
        return "its conf was changed meanwhile"
    said = _pct("destroy", f"{ctid:d}")
    # what it is afterwards counts, not what pct returns
    return "" if not os.path.exists(path) else said or "pct gives no reason"


def unlock(ctid: int) -> None:
    """Take Proxmox's lock from a conf whose task has ended."""
    _pct("unlock", f"{ctid:d}")


def forget_note(its: Transaction) -> None:
    """What our runs had brought into a conf that is no more; where that fails it is said."""
    try:
        with suppress(FileNotFoundError):
            os.unlink(its.note_path)
            sync_folder(os.path.dirname(its.note_path))
    except OSError as error:
        its.say(f"cannot remove {its.note_path}: {error.strerror}")


def _pct(*words: str) -> str:
    """Have pct do it; gives what it says, in one line."""
    ended = run(["pct", *words], seconds=_PATIENCE, merge=True)
    return " ".join((text_of(ended.out or ended.err) or "").split())
