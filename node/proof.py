"""Single questions about a container that runs, each with a deadline of its own and its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable

from node import containers, guest, probe
from node.probe import Probe
from node.say import say
from phoenix.apparmor.observed import Label
from phoenix.docker.names import PROBES
from phoenix.text.printable import printable

#: Bytes that dockerd may say of itself.
_LIMIT = 16 * 1024


class Proof:
    """What is asked of one container, whatever it answers.

    `failed`: the last that was not well, "" for nothing; `security`: the options that dockerd has
    told, as it writes them.
    """

    def __init__(self, ctid: int) -> None:
        self.failed, self.security = "", ""
        self._ctid = ctid
        self._driver = ""
        self._ours: Probe | None = None

    def check(self, text: str, question: Callable[[], bool]) -> bool:
        """Ask, and say the answer with the time that it took."""
        began = time.monotonic()
        try:
            well = question()
        except OSError as error:
            self._say(f"{error.filename or 'it'}: {error.strerror or error}")
            well = False
        if not well:
            self.failed = text
        verdict = "ok" if well else "FAILED"
        self._say(f"{verdict} {text} ({int(time.monotonic() - began)} s)")
        return well

    def carries(self, label: Label) -> bool:
        """Whether PID 1 carries that label: the host's half and mode, and the namespace."""
        return self.check(f"PID 1 runs as {label}", lambda: self._carries(label))

    def docker_works(self, driver: str, architecture: str, clear: bool = False) -> bool:
        """Whether `docker_answers` and `ours_runs`, and nothing of ours stays."""
        works = self.docker_answers(driver) and self.ours_runs(architecture, clear)
        return self.ours_is_gone(works) and works

    def docker_answers(self, driver: str) -> bool:
        """Whether dockerd does, with that driver ("": any)."""
        return self.check("dockerd answers", self._docker_answers) and (
            not driver
            or self.check(f"docker info says {driver}", lambda: self._docker_says(driver))
        )

    def ours_runs(self, architecture: str, clear: bool = False) -> bool:
        """Whether a container of ours runs in its Docker. It may be there until `ours_is_gone`.

        `architecture`: what it runs on; where we have no program for that, the plan has said so.
        `clear`: an earlier proof may have left things of ours.
        """
        if architecture not in PROBES:
            self._say(f"note: no container of our own was run: there is none for {architecture}")
            return True
        ours = self._ours = Probe(self._ctid, architecture)

        def runs() -> bool:
            if clear:
                probe.clear(self._ctid)
            return ours.runs()

        return self.check("a container of our own runs and answers on a published port", runs)

    def ours_is_gone(self, counts: bool) -> bool:
        """Wait for the end of its removal; whether nothing of it stays.

        `counts`: it is a check like the others; else something has failed before.
        """
        ours, self._ours = self._ours, None
        if ours is None or ours.is_gone():
            return True
        return not counts or self.check("our container is removed again", lambda: False)

    def _carries(self, wanted: Label) -> bool:
        pid = containers.init_pid(self._ctid)
        said = None if pid is None else containers.label(pid)
        carried = Label.parse(said or "")
        if carried.matches(wanted) and carried.mode == wanted.mode:
            return True
        self._say(f"PID 1 carries '{printable(said or '', limit=200)}'")
        return False

    def _docker_answers(self) -> bool:
        """The socket answers once dockerd is ready; before it exists, the script asks again."""
        ready = ["sh", "-c", guest.script("docker-ready")]
        ended = guest.attach(self._ctid, ready, seconds=180, limit=_LIMIT)
        said = (ended.text or "").strip("\n")
        self._driver, _, self.security = said.partition(" ")
        return ended.ok

    def _docker_says(self, driver: str) -> bool:
        if self._driver == driver:
            return True
        self._say(f"docker info says '{printable(self._driver)}'")
        return False

    def _say(self, text: str) -> None:
        say(text, self._ctid)
