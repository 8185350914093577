"""Docker in the guests: what each of them says of its own, several asked at the same time.

templates/guest/docker.sh runs in each and says what its lines mean; they are read on the
operator's side (`phoenix.docker.observed`). One guest, one stream: none can say anything for
another.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from node import containers, guest, outside
from node.beside import beside
from node.bounded import SIZE, TIME, Ended
from node.root import seconds

#: What a guest may say, in bytes: a daemon.json of 1 MiB, too.
LIMIT = 1536 * 1024

#: How many are asked at once beyond the node's processors: most of an answer is their work, so that
#: more only make each take longer, and one that hangs should not hold up half of all. And how many
#: that hang are asked a second time.
MORE_AT_ONCE, AGAIN = 1, 4

#: What an exit code means; 44 is ours.
_STATES = {0: "ok", 44: "none", **dict.fromkeys(guest.NO_SHELL, "noshell")}


def patience() -> float:
    """How long a guest may take, in seconds."""
    return seconds("GUEST_TIMEOUT", 60)


def observe(ctids: Sequence[int] | None, probe: Collection[int] = ()) -> dict[str, dict[str, str]]:
    """Ask those of these containers that are here, None: all that run; in `probe` mount an overlay.

    `{"910": {"state": "ok", "text": LINES, "error": ""}}`; `text` is empty unless the state is ok
    or none, and bytes of it that are no UTF-8 are escaped as surrogates: only daemon.json, at its
    end, may have such. The states:

    - ok · none: nothing in it that runs containers · stopped · noshell
    - hung: also when it was asked again, alone, after all others: a busy node is no hung guest.
      Where more than four hang, none of them is: what hostile guests can cost has an end
    - application: it is one program, made of an OCI image say, and nothing in it is asked
    - flooded: it said more than 1.5 MiB
    - failed: `error` says why, in a printable line
    """
    here = containers.ctids()
    asked = [ctid for ctid in here if (_runs(ctid) if ctids is None else ctid in ctids)]
    script = guest.script("docker")

    def ask(ctid: int) -> dict[str, str]:
        return _ask(ctid, script, ctid in probe)

    # each has its own clock, from its own turn on
    answers = beside(ask, asked, (os.cpu_count() or 1) + MORE_AT_ONCE)
    hung = [ctid for ctid, answer in answers.items() if answer["state"] == "hung"]
    if len(hung) <= AGAIN:
        answers.update((ctid, ask(ctid)) for ctid in hung)
    return {str(ctid): answer for ctid, answer in answers.items()}


def _ask(ctid: int, script: str, probes: bool) -> dict[str, str]:
    if not _runs(ctid):
        return _answer("stopped")
    if outside.applies(ctid):
        return _answer("application")
    # the rest of the time is for what else it looks up
    most = patience()
    its = max(1, int(most * 2 / 3))
    words = ["sh", "-c", script, "docker", f"{its}", ":probe" if probes else ""]
    ended = guest.attach(ctid, words, b"", most, LIMIT)
    state = _state(ctid, ended)
    if state not in ("ok", "none"):
        return _answer(state, error=guest.last_line(ended))
    if not _is_text(ended.out.partition(b"\ndaemon-file ")[0]):
        return _answer("failed", error="what its guest said of Docker is no UTF-8")
    return _answer(state, ended.out.decode("utf-8", "surrogateescape"))


def _state(ctid: int, ended: Ended) -> str:
    if ended.why in (TIME, SIZE):
        return "hung" if ended.why == TIME else "flooded"
    state = _STATES.get(-1 if ended.code is None else ended.code, "failed")
    # it may have been stopped meanwhile
    return "stopped" if state == "failed" and not _runs(ctid) else state


def _runs(ctid: int) -> bool:
    return containers.init_pid(ctid) is not None


def _answer(state: str, text: str = "", error: str = "") -> dict[str, str]:
    return {"state": state, "text": text, "error": error}


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
