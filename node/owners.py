"""What the owner of a container runs in it: what worked before its restart works after it.

Our own probe shows that Docker works. Whether the owner's stack does, only that stack can show:
what runs in the guest is noted before the first change, and waited for while something moves.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from node import guest, outside
from node.bounded import MIB
from node.root import seconds
from node.works import PODMAN, Missing, Works, ask, begun_anew, engine, missing, unasked

if TYPE_CHECKING:
    from node.transaction import Transaction

#: Seconds without any change until what is missing is given up.
_PATIENCE = 60

#: Seconds after which all is looked at once more: what ends again and again runs now and then.
_LATER = 10

#: Seconds for all of it with the new state, however much begins.
_MOST = 600

#: Seconds: for the end of a boot; for all of it with the old state; between two looks.
_BOOT, _MOST_OLD, _PAUSE = 120, 180, 2.0

#: So much that is missing is told; of so much the guest is asked why; so many of its words.
_TOLD, _EXPLAINED, _LINES = 20, 5, 3


class Owners:
    """What the owner runs in the container of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._its = transaction
        self._ctid = transaction.ctid
        self._why = ""
        self._seen: tuple[Works, float] | None = None

    def note(self) -> None:
        """Note what works now, before anything is changed; whoever takes this up has it, too."""
        self._its.staged.forget_works()
        said = self._ask(0)
        works = Works.parse(said)
        if works is None:
            self._its.say(f"what works in it cannot be told ({self._why}): only Docker is proven")
            return
        self._its.staged.keep_works(said)
        if works.began:
            ports = _few([*map(str, sorted(works.ports))], ", ") or "none"
            why = "one program" if outside.applies(self._ctid) else "without a shell"
            self._its.say(
                f"{why}: nothing in it is asked; proven from the node: that it stays up, and its "
                f"open ports ({ports})"
            )
        if works.silent:
            told = " and ".join(sorted(works.silent))
            self._its.say(f"{told} cannot be asked: its containers were not checked")
        if self._hides_containers:
            self._its.say("another storage driver: its containers of the old one are not asked for")
        if works.down:
            told = _few([*works.down], ", ")
            self._its.say(f"not working before, so not checked: {told}")

    @property
    def noted(self) -> Works | None:
        """What worked before; None where nobody could tell, or nobody looked."""
        works = Works.parse(self._its.staged.works)
        if works is None:
            return None
        hidden = self._hides_containers
        asked = {
            name: one
            for name, one in works.containers.items()
            if one.returns and engine(name) not in works.silent
            if not (hidden and engine(name) == "docker")
        }
        return replace(works, containers=asked)

    @property
    def _hides_containers(self) -> bool:
        """Docker does not load what another storage driver holds."""
        staged = self._its.staged
        return bool(self._its.daemon and staged.driver and staged.driver != staged.driver_before)

    def look(self) -> None:
        """Look once: where all works already, what is proven next takes up the time between the
        two looks of `work_again`.
        """
        before = self.noted
        assert before
        # whatever cannot be told now is asked for again
        with suppress(OSError):
            now, left = self._look(before)
            self._seen = (now, time.monotonic()) if now and not left else None

    def work_again(self) -> bool:
        """Whether what worked before works; names what does not, in the guest's own words."""
        before = self.noted
        assert before
        now, at = self._seen or (None, 0.0)
        left: list[Missing] = []
        if now is None:
            now, left = self._wait(before, seconds("OWNERS_MOST", _MOST))
            at = time.monotonic()
        if now and not left:
            due = at + seconds("OWNERS_LATER", _LATER)
            time.sleep(max(0, due - time.monotonic(), self._its.staged.settle))
            later, left = self._wait(before, seconds("OWNERS_PATIENCE", _PATIENCE))
            if later and not left:
                left = [*begun_anew(before, now, later, self._its.staged.accept)]
            now = later
        if now is None:
            self._its.say(f"what works in it cannot be told any more: {self._why}")
            return False
        self._tell(left)
        return not left

    def tell_old(self) -> None:
        """Say what is not back with the old state either: then that is not the new one's doing."""
        before = self.noted
        if before is None:
            return
        now, left = self._wait(before, seconds("OWNERS_MOST", _MOST_OLD))
        if now is None:
            self._its.say(f"what works in it cannot be told any more: {self._why}")
        if left:
            self._its.say(f"not back with the old conf either: {_few([*map(str, left)], '; ')}")

    def _wait(self, before: Works, most: float) -> tuple[Works | None, list[Missing]]:
        """Look until nothing is missing, or as long as it changes or something begins."""
        began = changed = time.monotonic()
        patience = seconds("OWNERS_PATIENCE", _PATIENCE)
        last: list[Missing] | None = None
        while True:
            now, left = self._look(before)
            clock = time.monotonic()
            if left != last or (now and now.booting) or any(one.begins for one in left):
                last, changed = left, clock
            if (now and not left) or clock - changed > patience or clock - began > most:
                return now, left
            time.sleep(min(_PAUSE, patience))

    def _look(self, before: Works) -> tuple[Works | None, list[Missing]]:
        now = Works.parse(self._ask(_BOOT, before.containers))
        if now and (silent := unasked(before, now)):
            self._why = f"its {' and '.join(sorted(silent))} does not answer"
            return None, []
        return now, list(missing(before, now, self._its.staged.accept)) if now else []

    def _ask(self, boot: int, only: Collection[str] | None = None) -> str:
        """`only`: these containers, None: all that there are."""
        engines = only is None or bool(only)
        said, self._why = ask(self._ctid, boot, engines, only=only or ())
        return said

    def _tell(self, left: list[Missing]) -> None:
        for number, one in enumerate(left[:_TOLD]):
            self._its.say(str(one))
            if number < _EXPLAINED:
                for line in self._words(one):
                    self._its.say(f"  {line}")
        if len(left) > _TOLD:
            self._its.say(f"and {len(left) - _TOLD} more")
        elif left:
            names = ",".join(one.name for one in left)
            self._its.say(f"to go on without: --data accept={names}")

    def _words(self, one: Missing) -> Iterator[str]:
        """What the guest says of it; its name has the form of one."""
        if self.noted and self.noted.began:
            return
        if one.kind == "container":
            program, name = engine(one.name), one.name.removeprefix(PODMAN)
            error = [program, "inspect", "--type", "container", "-f", "{{.State.Error}}", name]
            asked = [error, [program, "logs", "--tail", f"{_LINES}", name]]
        else:
            unit = one.unit or one.name
            asked = [["journalctl", "-u", unit, "-n", f"{_LINES}", "-o", "cat", "--no-pager"]]
        for words in asked:
            ended = guest.attach(self._ctid, words, seconds=30, limit=MIB, merge=True)
            yield from guest.last_lines(ended, _LINES)


def _few(texts: Sequence[str], between: str) -> str:
    """Some of them, and how many more there are."""
    more = f"{between}and {len(texts) - _TOLD} more" if len(texts) > _TOLD else ""
    return between.join(texts[:_TOLD]) + more
