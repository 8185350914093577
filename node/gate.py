"""What must be true of the container that came up, one check after another.

Each has a deadline of its own, whatever the guest does; each says its verdict and how long it took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from node import restart
from node.proof import Proof
from node.say import Stop, say

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
        self._its = transaction
        self._ctid = transaction.ctid
        self._proof = Proof(transaction.ctid)

    @property
    def failed(self) -> str:
        """The last that was not well, "" for nothing."""
        return self._proof.failed

    @property
    def is_restarted(self) -> bool:
        """Whether this restarts it, or Docker in it."""
        return self._its.staged.restart or self._its.daemon is not None

    def running(self) -> bool:
        """Whether it runs, as Proxmox says."""
        return restart.state(self._ctid) == "running"

    def proves_new(self) -> bool:
        """Whether all is well with the new state."""
        is_proven = self._proves_new()
        # its removal has gone on beside the last checks; whatever came of them, nothing stays
        return self._proof.ours_is_gone(is_proven) and is_proven

    def _proves_new(self) -> bool:
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
            if not self._proof.carries(label):
                return False
        if not its.completes_guest():
            return False
        if self._asks_docker() and not self._proof.docker_answers(staged.driver):
            return False
        if self._asks_owner():
            # once more below: meanwhile our own container is tried
            its.owners.look()
        if self._asks_docker() and not self._ours_runs():
            return False
        if self._asks_docker() and staged.label and staged.label.inner:
            self._note_apparmor_in_docker()
        if self._asks_owner() and not self.check(
            "what its owner runs works as before", its.owners.work_again
        ):
            return False
        if self.is_restarted and not self.is_healthy():
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
        if self._asks_docker() and not self._docker_works(its.staged.driver_before):
            return False
        if self._asks_owner():
            its.owners.tell_old()
        if self.is_restarted:
            its.health.tell_old()
        return True

    def is_healthy(self) -> bool:
        """Whether its owner's own check passes, where there is one and it passed before."""
        health = self._its.health
        return not health.is_asked or self.check("the owner's health check passes", health.passes)

    def starts(self, text: str) -> bool:
        """Have it run with the conf that is there: restarted, or started where it is down."""
        return self.check(text, self._restart)

    def check(self, text: str, question: Callable[[], bool]) -> bool:
        """Ask, and say the answer with the time that it took."""
        return self._proof.check(text, question)

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

    def _stands(self) -> bool:
        """Whether the conf still says what it said before the start; a hook may have changed it."""
        its = self._its
        if words := its.undone():
            its.say(f"{its.conf_name} {words}: {its.culprit} has changed it")
        return not words

    def _asks_owner(self) -> bool:
        return self.is_restarted and self._its.owners.noted is not None

    def _asks_docker(self) -> bool:
        return self._its.staged.docker and self.is_restarted

    def _docker_works(self, driver: str) -> bool:
        architecture = self._its.staged.architecture
        return self._proof.docker_works(driver, architecture, self.is_cut_short)

    def _ours_runs(self) -> bool:
        return self._proof.ours_runs(self._its.staged.architecture, self.is_cut_short)

    def _note_apparmor_in_docker(self) -> None:
        if "name=apparmor" not in self._proof.security:
            self._its.say(
                "note: Docker finds no AppArmor in it and confines nothing inside: "
                "apt install apparmor there"
            )
