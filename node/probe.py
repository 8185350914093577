"""A container of our own in a guest's Docker: never a user's image, one static program.

The guest answers for its Docker and may say anything: ids and ports are used only if they are ids
and ports, and what listens in its network is given a few bytes and half a minute.
"""

from __future__ import annotations

import io
import re
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pkgutil import get_data

from node import guest, network
from node.bounded import Ended
from node.say import say
from phoenix.text.printable import printable

#: Marks what is ours.
LABEL = "phoenix-harden=probe"

#: What the program in it answers to every connection on its port 8080.
ANSWER = b"phoenix-harden\n"

#: Of what a gate that was cut short left, so many are removed at once.
MOST = 64

#: Bytes of an answer of Docker's; a list of ids is the longest that we ask for.
_LIMIT = 16 * 1024

_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}|[0-9a-f]{12,64}")
_PORT = re.compile(r"127\.0\.0\.1:([0-9]{1,5})")

#: Asked from the node, in the guest's network: the guest may have no client of its own.
_CLIENT = """\
import socket, sys, time
end, said = time.monotonic() + 30, b""
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as line:
        while len(said) < 64:
            line.settimeout(max(end - time.monotonic(), 0.001))
            piece = line.recv(64 - len(said))
            if not piece:
                break
            said += piece
except OSError as error:
    sys.stderr.write(str(error))
sys.stdout.buffer.write(said)
"""


#: What Docker's client adds to a failure, and is no reason.
_HELP = re.compile(rb"^.*docker run --help.*$", re.MULTILINE)

#: By id, whatever comes of the first: both go in one call.
_REMOVES = """\
docker rm -f "$1" || failed=1
docker rmi "$2" || failed=1
exit "${failed:-0}"
"""


def ask(ctid: int, *words: str, seconds: float = 60, data: bytes = b"") -> str | None:
    """What the guest's `docker WORD...` prints, without its last line end; None, and says why, if
    that fails.
    """
    return _said(ctid, words[0], guest.attach(ctid, ["docker", *words], data, seconds, _LIMIT))


class Probe:
    """A container of ours in one guest, from an image of ours.

    Its removal goes on beside what comes next, until `is_gone` waits for it: nothing is done before
    that has been asked. Of one that is killed meanwhile `clear` removes the rest.
    """

    def __init__(self, ctid: int, architecture: str) -> None:
        """`architecture`: one of `PROBES`. Docker takes an image for one of its own (moby,
        ImportImage).
        """
        self._ctid, self._architecture = ctid, architecture
        self._removal: Future[bool] | None = None

    def runs(self) -> bool:
        """Whether an image can be imported, and a container of it runs and answers on its port."""
        words = ("-c", 'CMD ["/probe"]', "-c", f"LABEL {LABEL}", "-")
        image = _id(self._ctid, "import", *words, data=_image(self._architecture))
        if image is None:
            return False
        container, is_up = self._started(image)
        works = container is not None and is_up and _answers(self._ctid, container)
        remover = ThreadPoolExecutor(1)
        self._removal = remover.submit(self._remove, image, container)
        remover.shutdown(wait=False)
        return works

    def is_gone(self) -> bool:
        """Whether all that was made is removed again; true where nothing was."""
        removal, self._removal = self._removal, None
        return removal is None or removal.result()

    def _started(self, image: str) -> tuple[str | None, bool]:
        """The container's id, None without one, and whether it was started.

        Docker's client says the id before it asks for the start (docker/cli, `runContainer`).
        """
        # the sysctl that runc cannot set where a profile denies what it does since CVE-2025-52881
        sysctl = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=0")
        port = ("-p", "127.0.0.1::8080")
        words = ["docker", "run", "-d", "--pull", "never", *port, *sysctl, image]
        ended = guest.attach(self._ctid, words, seconds=180, limit=_LIMIT)
        said = (ended.text or "").strip("\n")
        container = said if _ID.fullmatch(said) else None
        if not ended.ok:
            _complain(self._ctid, "run", replace(ended, err=_HELP.sub(b"", ended.err)))
        elif container is None:
            say(f"docker run: '{printable(said)}' is no id", self._ctid)
        return container, ended.ok

    def _remove(self, image: str, container: str | None) -> bool:
        """By id, whatever happened above."""
        if container is None:
            _clear(self._ctid, ("ps", "-aq"), ("rm", "-f"))
            return ask(self._ctid, "rmi", image) is not None
        removes = ["sh", "-c", _REMOVES, "remove", container, image]
        return (
            _said(self._ctid, "rm", guest.attach(self._ctid, removes, seconds=120, limit=_LIMIT))
            is not None
        )


def clear(ctid: int) -> None:
    """Remove what a gate that was cut short left there."""
    _clear(ctid, ("ps", "-aq"), ("rm", "-f"))
    _clear(ctid, ("images", "-q"), ("rmi",))


def _clear(ctid: int, asks: tuple[str, ...], removes: tuple[str, ...]) -> None:
    """Remove what carries our label."""
    said = ask(ctid, *asks, "--filter", f"label={LABEL}") or ""
    ids = [word for word in dict.fromkeys(said.split()) if _ID.fullmatch(word)][:MOST]
    if ids:
        ask(ctid, *removes, *ids)


def _said(ctid: int, command: str, ended: Ended) -> str | None:
    if ended.ok and ended.text is not None:
        return ended.text.strip("\n")
    _complain(ctid, command, ended)
    return None


def _complain(ctid: int, command: str, ended: Ended) -> None:
    say(f"docker {command}: {guest.last_line(ended)}", ctid)


def _id(ctid: int, *words: str, data: bytes = b"") -> str | None:
    """The id that such a command prints, None if it prints none."""
    said = ask(ctid, *words, data=data)
    if said is None or _ID.fullmatch(said):
        return said
    say(f"docker {words[0]}: '{printable(said)}' is no id", ctid)
    return None


def _answers(ctid: int, container: str) -> bool:
    said = ask(ctid, "port", container, "8080/tcp", seconds=30)
    if said is None:
        return False
    port = _PORT.fullmatch(said)
    if port is None or not 0 < int(port[1]) <= 65535:
        say(f"docker port: '{printable(said)}' is no port of 127.0.0.1", ctid)
        return False
    return _connects(ctid, int(port[1]))


def _connects(ctid: int, port: int) -> bool:
    ended = network.run_in(ctid, _CLIENT, f"{port:d}", seconds=40)
    if ended.ok and ended.out.strip() == ANSWER.strip():
        return True
    said = printable(ended.out.decode("utf-8", "replace")) or guest.last_line(ended)
    say(f"port {port}: '{said}'", ctid)
    return False


def _image(architecture: str) -> bytes:
    """An image's only layer: the program."""
    name = f"data/probe-{architecture}"
    program = get_data("node", name)
    if program is None:
        raise FileNotFoundError(name)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("probe")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()
