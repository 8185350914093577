"""What the owner of a container runs in it: what worked before its restart works after it.

Our own probe shows that Docker works. Whether the owner's stack does, only that stack can show:
what runs in the guest is noted before the first change, and waited for while something moves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from node import guest
from node.bounded import MIB
from node.files import text
from node.works import Missing, Works, fell, missing

if TYPE_CHECKING:
    from node.transaction import Transaction

#: Seconds without any change until what is missing is given up.
PATIENCE = float(os.environ.get("PHOENIX_OWNERS_PATIENCE", "60"))

#: Seconds: for the end of a boot, for an answer beside that, for all of it; between two looks.
_BOOT, _ANSWER, _MOST, _PAUSE = 120, 60, 1200, 2

#: Of so many that are missing the guest is asked why; so many of its words are told.
_EXPLAINED, _LINES = 5, 3


class Owners:
    """What the owner runs in the container of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._its = transaction
        self._ctid = transaction.ctid
        self._why = ""

    def note(self) -> None:
        """Note what works now, before anything is changed; whoever takes this up has it, too."""
        self._its.staged.forget_works()
        said = self._ask(0)
        works = Works.parse(said)
        if works is None:
            self._its.say(f"what works in it cannot be told ({self._why}): only Docker is proven")
            return
        self._its.staged.keep_works(said)
        if works.down:
            self._its.say(f"not working before, and not looked at: {', '.join(works.down)}")

    @property
    def noted(self) -> Works | None:
        """What worked before; None where nobody could tell, or nobody looked."""
        return Works.parse(self._its.staged.works)

    def work_again(self) -> bool:
        """Whether what worked before works; names what does not, in the guest's own words."""
        before = self.noted
        assert before
        now, left = self._wait(before)
        if now and not left and (seconds := self._its.staged.settle):
            time.sleep(seconds)
            later = self._look(0)
            left = list(fell(now, later, self._its.staged.accept)) if later else []
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
        now, left = self._wait(before)
        if now is None:
            self._its.say(f"what works in it cannot be told any more: {self._why}")
        for one in left:
            self._its.say(f"not back with the old conf either: {one}")

    def _wait(self, before: Works) -> tuple[Works | None, list[Missing]]:
        """Look until nothing is missing, or as long as it changes or something begins."""
        accepted = self._its.staged.accept
        began = changed = time.monotonic()
        last: list[Missing] | None = None
        while True:
            now = self._look(_BOOT)
            left = list(missing(before, now, accepted)) if now else []
            clock = time.monotonic()
            if left != last or any(one.begins for one in left):
                last, changed = left, clock
            if (now and not left) or clock - changed > PATIENCE or clock - began > _MOST:
                return now, left
            time.sleep(_PAUSE)

    def _look(self, boot: int) -> Works | None:
        return Works.parse(self._ask(boot))

    def _ask(self, boot: int) -> str:
        words = ["sh", "-c", guest.script("works"), "works", f"{boot:d}"]
        ended = guest.attach(self._ctid, words, seconds=boot + _ANSWER, limit=2 * MIB)
        self._why = guest.last_line(ended) if not ended.ok else "its answer is not whole"
        return text(ended.out) or "" if ended.ok else ""

    def _tell(self, left: list[Missing]) -> None:
        for number, one in enumerate(left):
            self._its.say(str(one))
            if number < _EXPLAINED:
                for line in self._words(one):
                    self._its.say(f"  {line}")
        if left:
            names = ",".join(one.name for one in left)
            self._its.say(f"to go on without: --data accept={names}")

    def _words(self, one: Missing) -> Iterator[str]:
        """What the guest says of it; its name has the form of one."""
        if one.kind == "container":
            error = ["docker", "inspect", "--type", "container", "-f", "{{.State.Error}}", one.name]
            asked = [error, ["docker", "logs", "--tail", f"{_LINES}", one.name]]
        else:
            asked = [["journalctl", "-u", one.name, "-n", f"{_LINES}", "-o", "cat", "--no-pager"]]
        for words in asked:
            ended = guest.attach(self._ctid, words, seconds=30, limit=MIB, merge=True)
            yield from guest.last_lines(ended, _LINES)
