"""create RUN CTID - make a container on the node alone, confined from its first start, or nothing.

Reads RUN/CTID/create.json and the files beside it (`node.staged`): the datasets and folders that it
mounts, each argument list of pct, its raw lines in the place of all that are there as soon as it
is, its first start, its label, Docker, the gate, a snapshot if one is asked for. `start` false: it
is started only where there is a Docker to bring in or to prove, and stopped again.

Until its conf is final the container carries our mark as its description. What fails is taken away
again: the container, never a dataset or a folder. Nothing is taken away that may be somebody
else's (`_is_ours`).

Runs in a transient unit, as `node.commit` does, and ends as that: 0 done · 1 failed, nothing is
left of it · 2 refused, nothing was changed · 3 it failed and cannot be taken away: look at it
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from contextlib import suppress

from node import conf, hooks, restart, snapshot, tasks, unit
from node.bounded import MIB, Ended, run
from node.commit import check_journal, taken_up
from node.create_request import CreateRequest, read_request
from node.destroy import destroy, forget_note, is_destroyed, unlock
from node.files import NONE, digest, read, sync_folder, text, write
from node.install import install
from node.places import PlaceError, make_dataset, make_folder_of
from node.root import at, seconds
from node.say import Stop
from node.state import RunFolder
from node.transaction import Transaction
from phoenix.pve.conf import ENVIRONMENT, PveConf
from phoenix.runs.journal import UNDONE
from phoenix.runs.outcome import EXIT, Ending
from phoenix.text.printable import printable, printable_lines

#: Seconds without any work in our unit after which a pct is given up; a big template takes long.
_PATIENCE = 900

#: Lines of what a pct that failed has said.
_LINES = 15

#: Raw lines that pct brings with an image of a program: whose it is and how it ends (pve-container
#: LXC/Create.pm, `restore_oci_archive`).
_PROGRAM = re.compile(r"lxc\.init\.(?:uid|gid|groups|cwd)|lxc\.signal\.halt")

#: The lock of a conf that is being made, and that of what is being cloned (pve-container
#: API2/LXC.pm, `create_and_lock_config`, `clone_vm`).
_MAKING, _CLONING = "create", "disk"


def main(words: list[str]) -> int:
    """Do it under the lock."""
    with taken_up(words, Creation) as its:
        its.begin()
        return its.end()


class Creation(Transaction):
    """The making of one container.

    `made`: the conf that it shall have, once pct has made it; as a file also for whoever takes this
    up.
    """

    comes_up = "starts"

    def __init__(self, folder: RunFolder, ctid: int) -> None:
        """Read what is staged. Raises Stop where nothing whole is."""
        super().__init__(folder, ctid)
        try:
            asked = text(read(folder.staged(ctid, "create.json"))) or ""
            self.asked: CreateRequest = read_request(ctid, asked)
        except ValueError as error:
            raise self.refused(f"create.json: {error}: nothing was changed") from None
        staged = self.staged
        # one that is not to run need not start, unless something is to be proven
        staged.restart = self.asked.start or staged.docker or self.asked.install is not None
        self._made_path = folder.staged(ctid, "made")
        self.made = read(self._made_path)
        if self.made is not None:
            staged.conf, staged.after = self.made, digest(self.made)
        self.left = staged.after
        self.mark = f"phoenix-harden {folder.run}"
        self._why = ""
        # a pct of ours may have been cut short: so it is for whoever takes this up
        self._is_pct_cut = True
        self._places: list[str] = []

    # --- forwards -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Write down what shall be; nothing of it is there. Raises Stop."""
        check_journal(self)
        if path := _taken(self.ctid):
            raise self.refused(f"{path} is there already, nothing was changed")
        if source := self.asked.source:
            found = self._conf_of(source)
            if found is None:
                raise self.refused(f"CT {source}, its source, is not here: nothing was changed")
            if held := PveConf.from_bytes(found).lock:
                raise self.refused(f"CT {source}, its source, is locked ({held}): run again later")
        self._forget_made()
        self._is_pct_cut = False
        self.write("intent", before=NONE, after=self.staged.after, ours=NONE)

    def end(self) -> int:
        """Make it, and prove it, or take it away; gives the exit code."""
        if not self._make():
            return self.back()
        return super().end()

    def _make(self) -> bool:
        return (
            all(self._has_dataset(number) for number in range(len(self.asked.datasets)))
            and all(self._has_folder(number) for number in range(len(self.asked.folders)))
            and all(self._pct(number) for number in range(len(self.asked.pct)))
            and self.gate.check("its conf, before it starts for the first time", self._completes)
        )

    def _has_dataset(self, number: int) -> bool:
        one = self.asked.datasets[number]
        return self.gate.check(
            f"dataset {one.name}", lambda: self._place(one.name, lambda: make_dataset(one))
        )

    def _has_folder(self, number: int) -> bool:
        one = self.asked.folders[number]
        return self.gate.check(
            f"folder {one.path}", lambda: self._place(one.path, lambda: make_folder_of(one))
        )

    def _pct(self, number: int) -> bool:
        words = [*self.asked.pct[number]]
        if number == 0:
            words += ["--description", self.mark]
        does = self.gate.check(f"pct {words[0]}", lambda: self._does(words))
        # whoever starts it from now on, somebody or the node after a power cut, starts it confined
        return does and (number > 0 or self.gate.check("its raw lines", self._replaces_raw))

    def _replaces_raw(self) -> bool:
        found = self._found()
        new = self._confined(PveConf.from_bytes(found), marked=True)
        return self.swap(new, digest(found))

    def _does(self, words: list[str]) -> bool:
        patience = seconds("PATIENCE", _PATIENCE)
        ended = run(
            ["pct", *words], seconds=patience, limit=16 * MIB, merge=True, progress=unit.busy
        )
        self._is_pct_cut = bool(ended.why) or (ended.code or 0) < 0
        if ended.why:
            # it has workers that are not of its process group
            unit.end_others()
        if ended.ok and self._is_marked(self._found()):
            return True
        self._explain(ended, patience)
        return False

    def _explain(self, ended: Ended, patience: float) -> None:
        said = printable_lines((text(ended.out or ended.err) or "").strip(), _LINES)
        for line in said:
            self.say(f"  {line}")
        late = f"nothing went on in it for {patience:g} s" if ended.why == "time" else ""
        self._why = late or printable("".join(said[-1:]), 300) or f"exit {ended.code}"

    def _completes(self) -> bool:
        """The conf as pct has left it, its raw lines as they shall be, without our mark."""
        found = self._found()
        made = PveConf.from_bytes(found)
        wanted = PveConf.from_bytes(self.staged.conf)
        if not self._is_marked(found) or made.lock or restart.state(self.ctid) != "stopped":
            self._why = f"{self.conf_name} is not what pct was asked for"
            return False
        if made.unprivileged != wanted.unprivileged:
            self._why = f"pct has made it {'un' * made.unprivileged}privileged"
            return False
        self._keep_made(self._confined(made, marked=False))
        return self.swap(self.staged.conf, digest(found))

    def _confined(self, made: PveConf, marked: bool) -> bytes:
        """The main section with our raw lines in the place of all, and its description or not.

        `env` is a property of Proxmox's own, which it keeps as raw lines; and what makes a program
        of an image stays. Of a clone all that its source has is among ours.
        """
        kinds = ("key", "comment") if marked else ("key",)
        kept = [
            line.text
            for line in made.main.lines
            if line.kind in kinds or (line.kind == "raw" and self._stays(line.key, line.value))
        ]
        whole = PveConf("".join(one if one.endswith("\n") else f"{one}\n" for one in kept))
        for key, value in self.asked.raw:
            whole = whole.add_raw(key, value)
        return whole.to_bytes()

    def _stays(self, key: str, value: str) -> bool:
        is_programs = _PROGRAM.fullmatch(key) is not None and self.asked.source is None
        return key == ENVIRONMENT or (is_programs and (key, value) not in self.asked.raw)

    def _keep_made(self, made: bytes) -> None:
        """What counts from now on, instead of what was expected."""
        write(self._made_path, made)
        sync_folder(os.path.dirname(self._made_path))
        self.made = self.staged.conf = made
        self.left = self.staged.after = digest(made)

    def _forget_made(self) -> None:
        """What an earlier attempt noted is no longer so."""
        self.made = None
        with suppress(FileNotFoundError):
            os.unlink(self._made_path)
            sync_folder(os.path.dirname(self._made_path))

    def completes_guest(self) -> bool:
        """Docker, where the guest lacks it."""
        request = self.asked.install
        if request is None:
            return True
        return self.gate.check("Docker is installed", lambda: bool(install(self, dict(request))))

    def settles(self) -> bool:
        """Stopped if it is not to run, and the snapshot."""
        stops = self.staged.restart and not self.asked.start
        if stops and not self.gate.check("stops", self._stops):
            return False
        name = self.asked.snapshot
        return not name or self.gate.check(f"snapshot {name}", self._takes_snapshot)

    def _stops(self) -> bool:
        try:
            restart.stop(self.ctid, 90)
        except Stop as stop:
            self._why = stop.text
            return False
        return True

    def _takes_snapshot(self) -> bool:
        try:
            snapshot.take(self.ctid, self.asked.snapshot, f"made by phoenix-harden {self.run}")
        except snapshot.SnapshotError as error:
            self._why = str(error)
            return False
        return True

    def notes_done(self) -> bool:
        """Without that line the next run would take away what somebody uses by then."""
        is_written = self.note("done", after=self.digest())
        return is_written or self.gate.check("its making is written down", lambda: False)

    # --- and back -------------------------------------------------------------------------------

    def back(self) -> int:
        """Take away what was made; gives the exit code."""
        failed = self.gate.failed
        why = f"FAILED {failed}" if failed else "it does not run any more"
        why += f": {self._why}" if self._why else ""
        self.note("back", **({"why": UNDONE} if self.is_undone else {}))
        return self._takes_away(why)

    def take_up(self, last: str) -> int:
        """What was cut short comes to nothing; gives the exit code. `last`: what the journal has.

        A failure that was cut short in taking it away stays one.
        """
        failed = last == "back"
        code = self._takes_away(f"run {self.run} was interrupted")
        return 0 if code == EXIT[Ending.RESTORED] and not failed else code

    def _takes_away(self, why: str) -> int:
        if kind := tasks.at_work(self.ctid):
            return self.ends(Ending.FAILED, f"{why}; a task of Proxmox ({kind}) works on it still")
        self._free_source()
        try:
            found = read(at(self.conf_name))
        except OSError as error:
            text = f"{why}; cannot read {self.conf_name}: {error.strerror}"
            return self.ends(Ending.FAILED, text)
        if found is not None and not self._is_ours(found):
            return self._leave(why)
        if found is not None:
            self.say("taking away what this run has made of it")
            if left := self._destroys(found):
                # the journal leaves it open: the next run tries again
                by_hand = f"pct unlock {self.ctid}; pct destroy {self.ctid}"
                return self.ends(Ending.FAILED, f"{why}; it is still there: {left}: {by_hand}")
        forget_note(self)
        self.note("restored", after=NONE)
        self._tell_places()
        return self.ends(Ending.RESTORED, f"{why}; nothing is left of the container")

    def _leave(self, why: str) -> int:
        """What is there now is not ours, or no more."""
        made = self.made is not None
        self.note("failed" if made else "refused")
        self._tell_places()
        if made:
            text = f"{self.conf_name} was changed meanwhile: it is left as it is"
            return self.ends(Ending.FAILED, f"{why}; {text}: pct destroy {self.ctid}, or keep it")
        text = f"{self.conf_name} is not known to be this run's: it is left as it is"
        return self.ends(Ending.REFUSED, f"{why}; {text}")

    def _destroys(self, found: bytes) -> str:
        """Why it is still there, "" where it is gone."""
        # pct would find nothing to destroy: it has not written down yet what it has made
        left = self._removes_bare(found) if _is_bare(found) else destroy(self.ctid, 0)
        if not left and "rootfs" not in PveConf.from_bytes(found).main:
            shows = f"pvesm list STORAGE --vmid {self.ctid} shows it"
            self.say(f"note: a disk that pct had begun for it may be left: {shows}")
        return left

    def _removes_bare(self, found: bytes) -> str:
        path = at(self.conf_name)
        try:
            with conf.locked(self.ctid):
                if read(path) == found:
                    self._removes_rules()
                    os.unlink(path)
        except Stop as stop:
            return stop.text
        except OSError as error:
            return f"{self.conf_name}: {error.strerror}"
        return ""

    def _removes_rules(self) -> None:
        """Of the firewall, copied before a clone has more of a conf (API2/LXC.pm, clone_vm)."""
        if self.asked.source is None:
            return
        mine, its = (at(f"/etc/pve/firewall/{ctid}.fw") for ctid in (self.ctid, self.asked.source))
        if (copied := read(mine)) is not None and copied == read(its):
            os.unlink(mine)

    def _is_ours(self, found: bytes) -> bool:
        """Whether the conf that is there is that of the container which this run makes.

        It was not there before our intent. It is ours by our mark, by being what we have put there
        (but for the snapshot that we take and the locks that go with it), or it has nothing but
        Proxmox's own lock, where our pct may have been cut short; else that is another's. What a
        destroy has left that was cut short is nobody's any more.
        """
        if self._is_marked(found) or is_destroyed(found):
            return True
        if self.made is None:
            return _is_bare(found) and self._is_pct_cut
        if digest(found) == self.left:
            return True
        has, ours = PveConf.from_bytes(found), PveConf.from_bytes(self.made)
        same = _lines(has) == _lines(ours) and has.pending is None
        if same and {*has.snapshots_names} <= {self.asked.snapshot}:
            return True
        # cut short while it started
        return hooks.rewrote(found, self.made)

    def _is_marked(self, found: bytes) -> bool:
        return PveConf.from_bytes(found).main.description.strip() == self.mark

    def _found(self) -> bytes:
        return self._conf_of(self.ctid) or b""

    def _conf_of(self, ctid: int) -> bytes | None:
        with suppress(OSError):
            return read(at(f"/etc/pve/lxc/{ctid:d}.conf"))
        return None

    def _free_source(self) -> None:
        """Unlock what was cloned, if the clone was cut short: it was not locked before."""
        source = self.asked.source
        if source is None or self.made or not self._is_pct_cut:
            return
        locked = PveConf.from_bytes(self._conf_of(source) or b"").lock == _CLONING
        if locked and not tasks.at_work(source):
            self.say(f"CT {source}, its source, was left locked by that: unlocking it")
            unlock(source)

    def _place(self, name: str, make: Callable[[], bool]) -> bool:
        try:
            if make():
                self._places.append(name)
        except PlaceError as error:
            self._why = str(error)
            self.say(self._why)
            return False
        return True

    def _tell_places(self) -> None:
        if self._places:
            self.say(f"note: made by this run and left as they are: {', '.join(self._places)}")


def _taken(ctid: int) -> str:
    """The conf of a guest of that number, wherever in the cluster, "" for none."""
    places = ["/etc/pve/lxc", "/etc/pve/qemu-server"]
    places += ["/etc/pve/nodes/*/lxc", "/etc/pve/nodes/*/qemu-server"]
    found = (glob.glob(at(f"{place}/{ctid}.conf")) for place in places)
    return next((path[len(at("")) :] for paths in found for path in paths), "")


def _is_bare(found: bytes) -> bool:
    """Whether a conf says nothing but that it is being made."""
    lines = [line for line in PveConf.from_bytes(found).main.lines if line.kind != "blank"]
    keys = [(line.kind, line.key, line.value) for line in lines]
    return keys == [("key", "lock", _MAKING)] and not re.search(rb"^\[", found, re.MULTILINE)


def _lines(made: PveConf) -> list[str]:
    """What of a conf a snapshot leaves as it is."""
    lines = (line for line in made.main.lines if line.kind != "blank")
    return sorted(line.text.strip() for line in lines if line.key not in ("lock", "parent"))
