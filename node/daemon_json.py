"""daemon-json CTID put BEFORE AFTER|restart - Docker's configuration in a running guest.

- put: have the text of the request, `{"text": TEXT}`, as its /etc/docker/daemon.json. BEFORE,
  AFTER: digest of the one that is to be replaced, or `none`, and of the new one. dockerd checks
  that first, where it can.
- restart: restart Docker, by whatever starts services there.

Whether it is still the one that is to be replaced the guest says itself, for it is its own.
Digests that we go by are made here, of the bytes that it gave us.

Exit: 0 done · 1 failed · 2 refused, by dockerd or by us · 4 it is not the one with the digest
BEFORE; unless 0, the file is as it was
"""

from __future__ import annotations

import re
from typing import Any

from node import guest
from node.bounded import Ended
from node.files import NONE, digest, raw
from node.main import request
from node.say import Stop, say
from phoenix.docker.names import DRIVER_NAME
from phoenix.text.printable import printable_lines

#: What a `GuestError` may be.
FAILED, REFUSED, CHANGED = 1, 2, 4

_ABSENT = 44

#: Seconds for reading and writing a file; for Docker, which stops its containers one by one.
_SHORT, _LONG = 120, 600


def main(words: list[str]) -> int:
    """Do one of both; gives the exit code."""
    if len(words) not in (2, 4) or not re.fullmatch(r"[1-9][0-9]{2,8}", words[0]):
        raise Stop(REFUSED, "daemon-json: a container, then put BEFORE AFTER or restart")
    ctid, file = int(words[0]), GuestFile(int(words[0]))
    try:
        if words[1:] == ["restart"]:
            file.restart()
        elif words[1] == "put" and len(words) == 4:
            _put(file, words[2], words[3], request())
        else:
            raise Stop(REFUSED, f"daemon-json: no such action: {words[1]}")
    except GuestError as error:
        say(error.text, ctid)
        return error.code
    return 0


def _put(file: GuestFile, before: str, after: str, asked: Any) -> None:
    text = asked.get("text") if isinstance(asked, dict) else None
    if not isinstance(text, str) or not re.fullmatch(rf"[0-9a-f]{{64}}|{NONE}", before):
        raise Stop(REFUSED, "daemon-json: a digest or none, and a text")
    data = raw(text)
    if digest(data) != after:
        raise GuestError(FAILED, "daemon.json: the new one did not arrive whole")
    file.put(data, before)


class GuestError(Exception):
    """What could not be done in a guest: one of the codes above, and why, in a printable line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class GuestFile:
    """The daemon.json of a running container, read and written by the guest itself.

    All methods raise GuestError; the file is then as it was, but for one that gave no answer in
    time.
    """

    def __init__(self, ctid: int) -> None:
        self.ctid = ctid

    def read(self) -> bytes | None:
        """Its bytes, None if there is none: a regular file of 1 MiB at the most."""
        ended = self._do("read", seconds=_SHORT)
        if ended.code == _ABSENT:
            return None
        return self._done(ended).out

    def digest(self) -> str:
        """The digest of those bytes, `none` if there is none."""
        return digest(self.read())

    def put(self, data: bytes, before: str, trust: bool = False) -> None:
        """Replace the one with the digest `before`; `trust`: dockerd need not check the new one."""
        words = ("put", before, digest(data), *(["trust"] if trust else []))
        self._done(self._do(*words, seconds=_SHORT, data=data))

    def remove(self, before: str) -> None:
        """Remove the one with the digest `before`."""
        self._done(self._do("remove", before, seconds=_SHORT))

    def restart(self) -> None:
        """Have Docker read it."""
        self._done(self._do("restart", seconds=_LONG, services=True), lines=3)

    def leave(self, driver: str) -> None:
        """Stop Docker and clear the folder of a storage driver away; says so if it holds data."""
        if not DRIVER_NAME.fullmatch(driver):
            raise GuestError(FAILED, f"daemon.json: {driver} is no storage driver")
        ended = self._done(self._do("leave", driver, seconds=_LONG, services=True))
        for line in _last(ended.out, 1):
            say(f"its guest says: {line}", self.ctid)

    def _do(self, *words: str, seconds: float, data: bytes = b"", services: bool = False) -> Ended:
        call = ["sh", "-c", guest.script("daemon-json"), "daemon-json", *words]
        return guest.attach(self.ctid, call, data, seconds, services=services)

    def _done(self, ended: Ended, lines: int = 1) -> Ended:
        """It, if all is well; `lines`: so many of what it said tell why it is not."""
        if ended.ok:
            return ended
        code = {REFUSED: REFUSED, CHANGED: CHANGED}.get(ended.code or 0, FAILED)
        said = "" if ended.why else " ".join(_last(ended.err, lines))
        said = said or guest.last_line(ended)
        # as the script itself begins; a line of its own is never taken for one of ours
        raise GuestError(code, said if said.startswith("daemon.json: ") else f"daemon.json: {said}")


def _last(said: bytes, lines: int) -> list[str]:
    return printable_lines(said[-4096:].decode("utf-8", "replace"), lines)
