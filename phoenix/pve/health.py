"""The owner's own check of a container, `health_check` of the fleet file: a command or a URL.

The command runs in the guest, the URL is fetched in the guest's network; nothing of either becomes
shell text on the node. Packed into the node's program: Python 3.9.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import asdict, dataclass

#: Its key in the fleet file, and the word of `accept=` that goes without it.
NAME = "health_check"

#: The most that a file may ask for: repetitions, seconds between two tries, seconds of a try, and
#: seconds of all of it, which the unit of a commit has to have time for.
MOST_RETRIES, MOST_INTERVAL, MOST_TIMEOUT, MOST_SECONDS = 100, 300, 300, 1800

#: Characters of a command, and words of one that is a list.
MOST_TEXT, MOST_WORDS = 8192, 64

_URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?"
    r"([/?][!\"$-~]{0,2000})?",
    re.ASCII,
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Url:
    """The parts of a URL; `host`: `localhost` or an address; `target`: its path and query."""

    scheme: str
    host: str
    port: int
    target: str


@dataclass(frozen=True)
class HealthCheck:
    """What is asked, and how patiently: either `argv`, a command of the guest, or `url`.

    `retries`: so often it is asked again where it fails; `interval`: seconds between two tries;
    `timeout`: seconds of one.
    """

    argv: tuple[str, ...] = ()
    url: str = ""
    retries: int = 5
    interval: int = 5
    timeout: int = 30

    @property
    def shown(self) -> str:
        """What is asked, as the file has it."""
        words = self.argv[2:] if self.argv[:2] == ("sh", "-c") else self.argv
        return self.url or " ".join(words)

    @property
    def seconds(self) -> int:
        """How long all of it takes at most."""
        return (self.retries + 1) * self.timeout + self.retries * self.interval

    def render(self) -> str:
        """The staged file `health`, which `parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> HealthCheck:
        """Read that file. Raises ValueError for what is none."""
        try:
            data = json.loads(text)
        except RecursionError:
            data = None
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            raise ValueError("health: its members are others")
        argv, url = data["argv"], data["url"]
        if not isinstance(argv, list) or not isinstance(url, str):
            raise ValueError("health: neither a command nor a URL")
        numbers = [data[name] for name in ("retries", "interval", "timeout")]
        if any(type(number) is not int for number in numbers):
            raise ValueError("health: a whole number is expected")
        check = cls(tuple(argv), url, *numbers)
        check.check()
        return check

    def check(self) -> None:
        """Raises ValueError, with what to write instead, where it cannot be asked like that."""
        if self.argv and self.url:
            raise ValueError("command and url: one of them, not both")
        if not (self.argv or self.url):
            raise ValueError("a command or a url is expected")
        if self.argv:
            check_command(self.argv)
        else:
            parse_url(self.url)
        for name, number, least, most in (
            ("retries", self.retries, 0, MOST_RETRIES),
            ("interval", self.interval, 0, MOST_INTERVAL),
            ("timeout", self.timeout, 1, MOST_TIMEOUT),
        ):
            if not least <= number <= most:
                raise ValueError(f"{name}: a whole number from {least} to {most} is expected")
        if self.seconds > MOST_SECONDS:
            raise ValueError(
                f"{self.retries + 1} tries of {self.timeout} seconds, {self.interval} between them:"
                f" that is more than {MOST_SECONDS} seconds in all"
            )


def check_command(argv: tuple[str, ...]) -> None:
    """Raises ValueError where these are no words of a command."""
    if not all(isinstance(word, str) for word in argv):
        raise ValueError("a list of texts is expected")
    if not argv or not argv[0].strip():
        raise ValueError("a command is expected")
    # a script of several lines is still one argument
    if not all(re.sub("[\n\t]", "", word).isprintable() for word in argv):
        raise ValueError("must not hold control characters or broken Unicode")
    if len(argv) > MOST_WORDS or sum(map(len, argv)) > MOST_TEXT:
        raise ValueError(f"at most {MOST_TEXT} characters, and {MOST_WORDS} words as a list")


def parse_url(text: str) -> Url:
    """Read a URL. Raises ValueError for one that is not fetched, with what to write instead.

    A name would be looked up with the node's resolver and not with the guest's, so there is none
    but `localhost`.
    """
    parts = _URL.fullmatch(text)
    if parts is None:
        raise ValueError(
            'write it as in "http://localhost:8080/health", without user, blanks and #'
        )
    scheme, host = parts[1], parts[2].strip("[]").lower()
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(
                "its host is localhost or an address: no name is looked up for a container; a "
                "command can (curl -fsS URL)"
            ) from None
    port = int(parts[3]) if parts[3] else _PORTS[scheme]
    if not 0 < port <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    target = parts[4] or "/"
    return Url(scheme, host, port, target if target.startswith("/") else f"/{target}")
