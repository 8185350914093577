"""One container's transaction: the new state proven, or the old one back and that proven.

`node.commit` begins one, `node.recover` takes up one that was cut short; both end it here. The
journal: intent · started (restarted on the new conf) · done; or back · restored or failed.
daemon.json has lines of its own, each before that of the conf but for the intent.
"""

from __future__ import annotations

import os
from contextlib import suppress

from node import conf, hooks
from node.daemon_change import DaemonChange
from node.denied import Denied
from node.files import digest, make_folder, read, replace, sync_folder
from node.gate import Gate
from node.ha import Ha
from node.health import Health
from node.journal import Journal, Value
from node.moved import why_away
from node.owners import Owners
from node.root import STATE, at
from node.say import Stop, say
from node.staged import Staged
from node.state import RunFolder
from phoenix.apparmor.observed import generated_profile
from phoenix.docker.names import DAEMON_JSON
from phoenix.runs.journal import UNDONE, JournalError
from phoenix.runs.outcome import EXIT, Ending, Outcome


class Transaction:
    """What is done to one container in one run.

    `left`: digest of the conf as we left it, Proxmox's own changes at a start included;
    `is_undone`: what runs at a start has taken ours out of it again; `comes_up`: how it does, in a
    word.
    """

    comes_up = "restarts"

    def __init__(self, folder: RunFolder, ctid: int) -> None:
        """Read what is staged. Raises Stop where nothing whole is."""
        self._denied = Denied()
        self.folder, self.ctid = folder, ctid
        self.journal = Journal(folder)
        self.staged = Staged(folder, ctid)
        self.conf_name = f"/etc/pve/lxc/{ctid}.conf"
        self.note_path = at(f"{STATE}/containers/{ctid}")
        self.left = self.staged.after
        self.is_undone = False
        self._kept: dict[str, Value] = {}
        files = self.staged.daemon
        self.daemon = DaemonChange(ctid, folder, self.staged, files) if files else None
        self.gate = Gate(self)
        self.owners = Owners(self)
        self.health = Health(self)
        self.ha = Ha(self)

    def close(self) -> None:
        """Let go of the log that it reads."""
        self._denied.close()

    @property
    def run(self) -> str:
        """The run's id."""
        return self.folder.run

    def say(self, text: str) -> None:
        """Tell the operator, with the container."""
        say(text, self.ctid)

    def refused(self, why: str) -> Stop:
        """The end of one that changed nothing."""
        return self._stop(Ending.REFUSED, why)

    def failed(self, why: str) -> Stop:
        """The end of one at which somebody has to look."""
        return self._stop(Ending.FAILED, why)

    def changed(self, name: str) -> Stop:
        """The end of one that found something else than what it was planned on."""
        why = why_away(self.ctid) or f"somebody changed {name} since this run was planned"
        return self._stop(Ending.CHANGED, f"{why}: nothing was changed")

    def _stop(self, ending: Ending, text: str) -> Stop:
        return Stop(EXIT[ending], Outcome(ending, text).line(self.ctid))

    def ends(self, ending: Ending, text: str = "") -> int:
        """Say how it ended, in the last line; gives the exit code.

        HA has it back before; where it has not, somebody has to look.
        """
        if left := self.ha.give_back():
            proven = "proven" if ending is Ending.DONE else ""
            ending, text = Ending.FAILED, "; ".join(filter(None, (proven, text, left)))
        return self.tells(ending, text)

    def tells(self, ending: Ending, text: str = "") -> int:
        """The same, whatever HA has to do with it."""
        say(Outcome(ending, text).line(self.ctid))
        return EXIT[ending]

    def digest(self) -> str:
        """The digest of the conf that is there."""
        try:
            return digest(read(at(self.conf_name)))
        except OSError as error:
            self.say(f"cannot read {self.conf_name}: {error.strerror}")
            return digest(None)

    def undone(self) -> str:
        """In what the conf that is there would have the next start be another one, in words.

        Raises OSError.
        """
        before = b""
        with suppress(OSError, ValueError):
            before = self.folder.kept(self.staged.before)
        found = read(at(self.conf_name)) or b""
        words = hooks.undone(self.staged.conf, before, found)
        self.is_undone = bool(words)
        return words

    @property
    def culprit(self) -> str:
        """Who has undone ours, as far as the conf tells."""
        return hooks.culprit(self.staged.conf)

    def swap(self, new: bytes, expected: str) -> bool:
        """Put a conf in place of the one with that digest; says why not."""
        try:
            conf.swap(self.ctid, new, expected)
        except Stop as stop:
            say(stop.text)
            return False
        except OSError as error:
            self.say(f"cannot replace {self.conf_name}: {error.strerror}")
            return False
        return True

    def write(self, event: str, **keys: Value) -> None:
        """Write a line about the conf; nothing happens before it is on disk. Raises Stop."""
        self._intend(event, file=self.conf_name, **keys)

    def write_daemon(self, event: str, **keys: Value) -> None:
        """The same about daemon.json."""
        self._intend(event, file=DAEMON_JSON, **keys)

    def note(self, event: str, **keys: Value) -> bool:
        """Write a line about the conf, and go on without it where that fails; whether it is."""
        return self._note(event, file=self.conf_name, **keys)

    def note_daemon(self, event: str, **keys: Value) -> None:
        """The same about daemon.json, if it is part of this."""
        if self.daemon:
            self._note(event, file=DAEMON_JSON, **keys)

    # --- what other transactions do in between ---------------------------------------------------

    def completes_guest(self) -> bool:
        """Bring in what its guest lacks, once it runs confined; whether that is there."""
        return True

    def settles(self) -> bool:
        """What is left to do once all is proven; whether that is done."""
        return True

    def notes_done(self) -> bool:
        """Write down that it is done; whether it may stay so."""
        self.note("done", after=self.digest())
        return True

    # --- its two ends ---------------------------------------------------------------------------

    def end(self) -> int:
        """Prove what is there now, or restore the old state; gives the exit code."""
        if self._finish():
            return self.ends(Ending.DONE)
        self._tell_denials("AppArmor denied since the restart:")
        return self.back()

    def back(self) -> int:
        """The old state, and the proof of it; gives the exit code."""
        self.say("restoring the previous configuration")
        self.note("back", **({"why": UNDONE} if self.is_undone else {}))
        self.gate.restarted = False
        # where it runs now the restart brings it; where it does not, the gate restores it
        if self.daemon and self.gate.running():
            self.daemon.back()
        if self.digest() != self.staged.before and not self._swap_back():
            self.note_daemon("failed")
            self.note("failed")
            takes = f"rollback with run={self.run} reverts what this run changed"
            return self.ends(Ending.FAILED, f"{self.conf_name} is left as it is: {takes}")
        if self.gate.proves_old():
            if self.daemon:
                self.note_daemon("restored", after=self.daemon.before)
            return self._restored()
        self.note_daemon("failed")
        self.note("failed", after=self.staged.before, **self._kept)
        look = f"pct status {self.ctid}; journalctl -e"
        text = f"the old conf is back, but the container is not healthy: {look}"
        return self.ends(Ending.FAILED, text)

    def _restored(self) -> int:
        """The old state is proven; what a hook has made of the conf at this start is no fault."""
        found = self.digest()
        self.note("restored", after=found, **self._kept)
        text = "the old conf is back and the container runs with it"
        if found != self.staged.before:
            self.say(f"{self.conf_name} was changed again at this start, by {self.culprit}")
        if self.is_undone:
            fix = "have it leave the conf alone and run again"
            text = f"{self.culprit} undid the new conf at the start: {text}; {fix}"
        return self.ends(Ending.RESTORED, text)

    def _finish(self) -> bool:
        if not (self.gate.proves_new() and self.settles() and self._keep_ours()):
            return False
        if self.daemon:
            found = self.daemon.digest()
            if found is None:
                return False
            self.note_daemon("done", after=found)
        if not self.notes_done():
            return False
        self._tell_denials("warning: it works, and AppArmor denied since the restart:")
        return True

    def _swap_back(self) -> bool:
        try:
            old = self.folder.kept(self.staged.before)
        except (OSError, ValueError) as error:
            self.say(str(error))
            return False
        kept = self._keep_changed(old)
        if not self.swap(old, kept or self.left):
            return False
        if kept:
            self._kept = {"kept": kept}
            self.say(f"what was there is kept: {self.folder.path}/files/{kept}")
        return True

    def _keep_changed(self, old: bytes) -> str:
        """Keep the conf that is there if it is no more ours and the old one may replace it.

        Gives its digest, "" for none. It may where a start has changed ours, and where a hook has
        undone ours or the old one since; any other change is somebody's edit and stays.
        """
        with suppress(OSError):
            found = read(at(self.conf_name))
            if found is None or digest(found) == self.staged.after:
                return ""
            is_hooks = hooks.rewrote(found, self.staged.conf, old) and self.undone()
            if is_hooks or digest(found) == self.left:
                return self.folder.keep(found)
        return ""

    def _keep_ours(self) -> bool:
        """The note of what our runs brought, beside the runs, for the next one to know."""
        ours = self.staged.ours
        if ours is None:
            return True
        try:
            if ours:
                make_folder(os.path.dirname(self.note_path))
                replace(self.note_path, ours, ".new", mode=0o600)
            elif os.path.exists(self.note_path):
                os.unlink(self.note_path)
                sync_folder(os.path.dirname(self.note_path))
        except OSError as error:
            self.say(f"cannot write {self.note_path}: {error.strerror}")
            return False
        return True

    def _intend(self, event: str, **keys: Value) -> None:
        try:
            self.journal.write(event, ctid=self.ctid, **keys)
        except (OSError, JournalError) as error:
            raise self.refused(f"cannot write {self.journal.path}: {error}") from None

    def _note(self, event: str, **keys: Value) -> bool:
        try:
            self.journal.write(event, ctid=self.ctid, **keys)
        except (OSError, JournalError) as error:
            # the container comes first: whoever reads it later takes it for cut short
            self.say(f"cannot write {self.journal.path}: {error}")
            return False
        return True

    def _tell_denials(self, words: str) -> None:
        if not self.gate.is_restarted:
            return
        label = self.staged.label
        profile = label.profile if label else generated_profile(self.ctid)
        if lines := self._denied.told(profile, self.ctid):
            self.say(words)
            for line in lines:
                say(f"  {line}")
