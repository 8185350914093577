"""Taking a container out of HA's hands for as long as a run changes it, and giving it back.

With the state `ignored` HA lets go of it: its manager (CRM) takes it out of manager_status, and the
node's own (LRM) does nothing with what is not there. What HA was asked for is in the journal before
that, so that whoever takes up what was cut short puts it back.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from node import containers, cut, restart
from node.bounded import run
from node.files import read, text
from node.root import at
from node.say import Stop
from phoenix.pve.ha import DEFAULT, IGNORED, RUNS, SETTLE, service_from_json, unsettled
from phoenix.runs.journal import HA_DEFAULT, JournalError
from phoenix.text.printable import printable

if TYPE_CHECKING:
    from node.transaction import Transaction

#: Seconds in which HA lets go of it: its manager looks every 10 seconds, the LRM as often, and
#: longer while it works on others (CRM.pm, LRM.pm).
PATIENCE = 180

#: Seconds in which it has taken it up again: a round of its manager.
TAKES_UP = 60

#: How long `ha-manager` may take, and so many characters of what it says are told.
_SECONDS, _TOLD = 60, 300


class Ha:
    """What HA has to do with one transaction.

    `noted`: what it was asked for and is to be asked for again, None for nothing; `waits`: it was
    not, for the container is not as HA would have it.
    """

    def __init__(self, transaction: Transaction) -> None:
        self.noted: str | None = None
        self.waits = False
        self._its = transaction
        self._ctid = transaction.ctid

    def remember(self) -> None:
        """Take up what the journal says of it."""
        last = cut.ha_events(self._its.journal).get(self._ctid)
        if last and last["event"] != "done":
            self.noted = last["ha"]

    def take(self) -> None:
        """Have HA let go of it, where it manages it and the run may do that.

        Raises Stop where it does not, or where it is at work on it: HA is as it was then.
        """
        state = containers.ha_state(self._ctid)
        if not self._its.staged.ha or state in (None, IGNORED, "disarmed"):
            return
        if why := self._obstacle(state or ""):
            raise self._its.refused(f"{why}: nothing was changed; {SETTLE}")
        self._write("intent", self._asked() or HA_DEFAULT)
        why = self._set("--state", IGNORED)
        if self._asked() == IGNORED:
            why = self._lets_go()
        if not why:
            self._its.say(f"out of HA's hands for now (it was {state})")
            return
        if left := self.give_back():
            raise self._its.failed(f"{why}: nothing else was changed; {left}")
        raise self._its.refused(f"{why}: nothing was changed")

    def give_back(self) -> str:
        """Have HA asked for what it was before, if it still ignores it; gives why not, in words.

        Only where the container is as HA would have it: else HA would act at once.
        """
        if self.noted is None:
            return ""
        noted, found = self.noted, self._asked()
        state = DEFAULT if noted == HA_DEFAULT else noted
        words = ["--delete", "state"] if noted == HA_DEFAULT else ["--state", noted]
        again = f"ha-manager set ct:{self._ctid} {' '.join(words)}"
        self.waits = False
        if found == IGNORED:
            running = restart.state(self._ctid)
            if running != ("running" if RUNS[state] else "stopped"):
                self.waits = True
                return self._held(
                    f"HA ignores it until it {'runs' if RUNS[state] else 'is stopped'}: then the "
                    f"next run puts that back, or {again}"
                )
            why = self._set(*words)
            if self._asked() == IGNORED:
                return self._held(f"HA still ignores it ({why or 'it stayed so'}): {again}")
            self._note("done")
            self.noted = None
            self._its.say(f"back in HA's hands ({state}){self._takes_up(state)}")
            return ""
        if found is None:
            self._its.say("HA does not manage it any more, and it stays so")
        elif found != ("" if noted == HA_DEFAULT else noted):
            self._its.say(f"somebody set its state in HA to {found or DEFAULT}: it stays so")
        self._note("done")
        self.noted = None
        return ""

    def _obstacle(self, state: str) -> str:
        if state not in RUNS:
            return f"managed by HA ({printable(state)})"
        service = service_from_json(containers.ha_services().get(str(self._ctid)))
        running = restart.state(self._ctid) == "running"
        return unsettled(state, service, containers.node_name(), running)

    def _asked(self) -> str | None:
        return containers.ha_resources().get(str(self._ctid))

    def _lets_go(self) -> str:
        """Wait until nothing of HA acts on it; gives who still might, "" for nobody."""
        deadline, gone = time.monotonic() + PATIENCE, 0.0
        while True:
            if not gone and containers.ha_lets_go(self._ctid):
                gone = time.time()
            # a round of it that began before, and may act on it, ends with a new status
            if gone and _lrm_stamp() > gone:
                return ""
            if time.monotonic() >= deadline:
                who = "the LRM of this node has" if gone else "HA's manager has"
                unit = "pve-ha-lrm" if gone else "pve-ha-crm"
                return f"{who} not let go of it within {PATIENCE} s (systemctl status {unit})"
            time.sleep(0.2)

    def _takes_up(self, state: str) -> str:
        """Wait until HA has settled it again; gives what to say where it has not, "" if it has.

        So it can be planned anew at once, and who is next is not kept waiting for it.
        """
        deadline = time.monotonic() + TAKES_UP
        while why := self._obstacle(state):
            if time.monotonic() >= deadline:
                return f", but {why}: see ha-manager status"
            time.sleep(0.2)
        return ""

    def _set(self, *words: str) -> str:
        """Ask HA for something else; gives what went wrong, "" for nothing."""
        argv = ["ha-manager", "set", f"ct:{self._ctid:d}", *words]
        ended = run(argv, seconds=_SECONDS, limit=16 * 1024, merge=True)
        if ended.ok:
            return ""
        said = (ended.out or ended.err).decode("utf-8", "replace")
        how = " ".join(said.split()) or ended.why or f"exit code {ended.code}"
        return f"ha-manager refuses: {printable(how, _TOLD)}"

    def _held(self, why: str) -> str:
        self._note("held")
        return why

    def _write(self, event: str, state: str) -> None:
        try:
            self._its.journal.write(event, ctid=self._ctid, ha=state)
        except (OSError, JournalError) as error:
            raise self._its.refused(f"cannot write {self._its.journal.path}: {error}") from None
        self.noted = state

    def _note(self, event: str) -> None:
        try:
            self._write(event, self.noted or HA_DEFAULT)
        except Stop as stop:
            # the container comes first: whoever reads it later puts it back once more
            self._its.say(stop.text)


def _lrm_stamp() -> float:
    """When the LRM of this node last said how it is, in seconds since the epoch; 0: never.

    LRM.pm `update_lrm_status`, at the end of each round.
    """
    path = f"/etc/pve/nodes/{containers.node_name()}/lrm_status"
    try:
        return float(json.loads(text(read(at(path))) or "{}")["timestamp"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
