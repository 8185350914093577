"""What must be true of the container that came up, one check after another.

Each has a deadline of its own, whatever the guest does; each says its verdict and how long it took.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from node import containers, guest, probe, restart
from node.say import Stop, say
from phoenix.apparmor.observed import Label
from phoenix.docker.names import PROBES
from phoenix.text.printable import printable

if TYPE_CHECKING:
    from node.transaction import Transaction


class Gate:
    """The proof of one transaction.

    `restarted`: it carries the conf that is there already; `is_cut_short`: an earlier proof may
    have left things of ours in its Docker; `failed`: the last that was not well, "" for nothing.
    """

    def __init__(self, transaction: Transaction) -> None:
        self.restarted = False
        self.is_cut_short = False
        self.failed = ""
        self._its = transaction
        self._ctid = transaction.ctid

    def running(self) -> bool:
        """Whether it runs, as Proxmox says."""
        return restart.state(self._ctid) == "running"

    def proves_new(self) -> bool:
        """Whether all is well with the new state."""
        its, staged = self._its, self._its.staged
        if not self._comes_up(new=True):
            return False
        if not self.running():
            return self._may_be_down()
        if its.daemon and not self._restart_docker():
            return False
        if staged.label and staged.restart:
            label = staged.label
            if not self.check("the start has left its conf alone", self._stands):
                return False
            if not self.check(f"PID 1 runs as {label}", lambda: self._carries(label)):
                return False
        if not its.completes_guest():
            return False
        if not self._docker_works(staged.driver):
            return False
        if self._asks_docker() and staged.label and staged.label.inner:
            self._note_apparmor_in_docker()
        if self._asks_owner() and not self.check(
            "what its owner runs works as before", its.owners.work_again
        ):
            return False
        # once more: a hook may have gone on in the background
        asked = staged.label and staged.restart
        return not asked or self.check("its next start will be the same", self._stands)

    def proves_old(self) -> bool:
        """The same for the old state, whatever its profile was."""
        its = self._its
        if not self._comes_up(new=False):
            return False
        if not self.running():
            return self._may_be_down()
        # a container that had not come up has its new daemon.json still
        if its.daemon and not (its.daemon.back() and self._restart_docker()):
            return False
        if not self._docker_works(its.staged.driver_before):
            return False
        if self._asks_owner():
            its.owners.tell_old()
        return True

    def starts(self, text: str) -> bool:
        """Have it run with the conf that is there: restarted, or started where it is down."""
        return self.check(text, self._restart)

    def check(self, text: str, question: Callable[[], bool]) -> bool:
        """Ask, and say the answer with the time that it took."""
        began = time.monotonic()
        try:
            well = question()
        except OSError as error:
            self._its.say(f"{error.filename or 'it'}: {error.strerror or error}")
            well = False
        if not well:
            self.failed = text
        verdict = "ok" if well else "FAILED"
        self._its.say(f"{verdict} {text} ({int(time.monotonic() - began)} s)")
        return well

    def _comes_up(self, new: bool) -> bool:
        """The restart, where one is due."""
        its = self._its
        if not its.staged.restart or self.restarted:
            return True
        if its.daemon and self.running():
            its.daemon.clear_driver()
        found = its.digest()
        up = self.starts(its.comes_up)
        if its.daemon:
            its.daemon.docker_due = False
        # what Proxmox makes of our conf at the start; any other change is somebody else's
        if found == its.left:
            its.left = its.digest()
        if new:
            its.note("started", after=its.left)
        return up

    def _may_be_down(self) -> bool:
        """It did not run before either; else it has gone down again, and nothing is proven."""
        if not self._its.staged.restart and not self._its.daemon:
            return True
        self._its.say("does not run any more")
        return False

    def _restart(self) -> bool:
        # one that did not come up before is started
        try:
            if self.running():
                restart.restart(self._ctid, 90)
            else:
                restart.start(self._ctid)
        except Stop as stop:
            say(stop.text)
            return False
        return True

    def _restart_docker(self) -> bool:
        daemon = self._its.daemon
        if not daemon or not daemon.docker_due:
            return True
        daemon.clear_driver()
        daemon.docker_due = False
        return self.check("restarts Docker", daemon.restart)

    def _carries(self, wanted: Label) -> bool:
        """Whether PID 1 carries the wanted label: the host's half and mode, and the namespace."""
        pid = containers.init_pid(self._ctid)
        said = None if pid is None else containers.label(pid)
        carried = Label.parse(said or "")
        if carried.matches(wanted) and carried.mode == wanted.mode:
            return True
        self._its.say(f"PID 1 carries '{printable(said or '', limit=200)}'")
        return False

    def _stands(self) -> bool:
        """Whether the conf still says what it said before the start; a hook may have changed it."""
        its = self._its
        if words := its.undone():
            its.say(f"{its.conf_name} {words}: {its.culprit} has changed it")
        return not words

    def _asks_owner(self) -> bool:
        its = self._its
        return (its.staged.restart or its.daemon is not None) and its.owners.noted is not None

    def _asks_docker(self) -> bool:
        its = self._its
        return its.staged.docker and (its.staged.restart or its.daemon is not None)

    def _docker_works(self, driver: str) -> bool:
        if not self._asks_docker():
            return True
        return (
            self.check("dockerd answers", self._docker_answers)
            and (
                not driver
                or self.check(f"docker info says {driver}", lambda: self._docker_says(driver))
            )
            and self._ours_runs()
        )

    def _ours_runs(self) -> bool:
        """Whether that proves Docker, where it can: the plan has said where it cannot."""
        architecture = self._its.staged.architecture
        if architecture not in PROBES:
            self._its.say(
                f"note: no container of our own was run: there is none for {architecture}"
            )
            return True
        return self.check(
            "a container of our own runs and answers on a published port", self._probe
        )

    def _docker_answers(self) -> bool:
        """The socket answers once dockerd is ready; before it exists, the script asks again."""
        ready = ["sh", "-c", guest.script("docker-ready")]
        return guest.attach(self._ctid, ready, seconds=180).ok

    def _docker_says(self, driver: str) -> bool:
        said = probe.ask(self._ctid, "info", "--format", "{{.Driver}}")
        if said == driver:
            return True
        self._its.say(f"docker info says '{printable(said or '')}'")
        return False

    def _probe(self) -> bool:
        if self.is_cut_short:
            probe.clear(self._ctid)
        return probe.runs(self._ctid, self._its.staged.architecture)

    def _note_apparmor_in_docker(self) -> None:
        options = probe.ask(self._ctid, "info", "-f", "{{.SecurityOptions}}", seconds=30)
        if "name=apparmor" not in (options or ""):
            self._its.say(
                "note: Docker finds no AppArmor in it and confines nothing inside: "
                "apt install apparmor there"
            )
