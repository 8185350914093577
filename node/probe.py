"""A container of our own in a guest's Docker: never a user's image, one static program.

The guest answers for its Docker and may say anything: ids and ports are used only if they are ids
and ports, and what listens in its network is given a few bytes and half a minute.
"""

from __future__ import annotations

import io
import re
import tarfile
from pkgutil import get_data

from node import guest, network
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


def ask(ctid: int, *words: str, seconds: float = 60, data: bytes = b"") -> str | None:
    """What the guest's `docker WORD...` prints, without its last line end; None, and says why, if
    that fails.
    """
    ended = guest.attach(ctid, ["docker", *words], data, seconds, _LIMIT)
    if ended.ok and ended.text is not None:
        return ended.text.strip("\n")
    say(f"docker {words[0]}: {guest.last_line(ended)}", ctid)
    return None


def runs(ctid: int, architecture: str) -> bool:
    """Whether an image can be imported, and a container of it runs and answers on its port.

    `architecture`: one of `PROBES`. Docker takes an image for one of its own (moby, ImportImage).
    """
    words = ("-c", 'CMD ["/probe"]', "-c", f"LABEL {LABEL}", "-")
    image = _id(ctid, "import", *words, data=_image(architecture))
    if image is None:
        return False
    # the sysctl that runc cannot set where a profile denies what it does since CVE-2025-52881
    sysctl = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=0")
    port = ("-p", "127.0.0.1::8080")
    container = _id(ctid, "create", "--pull", "never", *port, *sysctl, image)
    works = (
        container is not None
        and ask(ctid, "start", container, seconds=120) is not None
        and _answers(ctid, container)
    )
    # by id, whatever happened above
    if container is not None and ask(ctid, "rm", "-f", container) is None:
        works = False
    return ask(ctid, "rmi", image) is not None and works


def clear(ctid: int) -> None:
    """Remove what a gate that was cut short left there."""
    for asks, removes in ((("ps", "-aq"), ("rm", "-f")), (("images", "-q"), ("rmi",))):
        said = ask(ctid, *asks, "--filter", f"label={LABEL}") or ""
        ids = [word for word in dict.fromkeys(said.split()) if _ID.fullmatch(word)][:MOST]
        if ids:
            ask(ctid, *removes, *ids)


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
