"""The owner's own check of a container: `health_check` of the fleet file (`phoenix.pve.health`).

What passes before the first change passes after it. Its command runs in the guest and is bounded as
all that is asked there; its URL is fetched from the node in the guest's network, whose answer is
three digits to us and nothing else.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from node import guest, network, outside, works
from node.bounded import MIB
from phoenix.pve.health import NAME, HealthCheck, parse_url

if TYPE_CHECKING:
    from node.transaction import Transaction

#: Asked from the node: no redirect is followed, no certificate checked, no name looked up.
_CLIENT = """\
import http.client, socket, ssl, sys
scheme, host, port, target, seconds = sys.argv[1:]
failure = ""
for address in ("127.0.0.1", "::1") if host == "localhost" else (host,):
    try:
        line = socket.create_connection((address, int(port)), float(seconds))
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            line = context.wrap_socket(line, server_hostname=host)
        asked = http.client.HTTPConnection(host, int(port))
        asked.sock = line
        asked.request("GET", target, headers={"User-Agent": "phoenix-harden"})
        print(asked.getresponse().status)
        sys.exit()
    except (OSError, http.client.HTTPException) as error:
        failure = failure or (str(error) or type(error).__name__)[:200]
sys.exit(failure)
"""


#: Seconds for the end of a boot.
_BOOT = 120


class Health:
    """The check of the container of one transaction; without one nothing is asked."""

    def __init__(self, transaction: Transaction) -> None:
        """Read what is staged. Raises Stop where that is no check."""
        self._its = transaction
        self._ctid = transaction.ctid
        text = transaction.staged.health
        try:
            self._check = HealthCheck.parse(text) if text else None
        except ValueError as error:
            raise transaction.refused(f"what is staged is not whole: {error}") from None

    @property
    def is_asked(self) -> bool:
        """Whether it has to pass: there is one, it did not fail before, nobody goes without."""
        staged = self._its.staged
        if self._check is None or staged.unhealthy or NAME in staged.accept:
            return False
        return not self._enters_a_program(self._check)

    def note(self) -> None:
        """Try it once before anything is changed: what fails now need not pass afterwards."""
        staged = self._its.staged
        staged.unmark_unhealthy()
        if self._check is None:
            return
        if NAME in staged.accept:
            self._its.say(f"its {NAME} is not asked (accept={NAME})")
        elif self._enters_a_program(self._check):
            self._its.say(f"one program: nothing is run in it, so its {NAME} is not asked")
        elif why := self._try(self._check):
            staged.mark_unhealthy()
            self._its.say(f"not working before, so not checked: its {NAME} ({why})")

    def passes(self) -> bool:
        """Whether it passes, tried as often as the file says; tells its last words if not."""
        why = self._wait()
        if why:
            self._its.say(f"{NAME}: {why}")
            self._its.say(f"to go on without: --data accept={NAME}")
        return not why

    def tell_old(self) -> None:
        """Say that it fails with the old state, too: then that is not the new one's doing."""
        if self.is_asked and (why := self._wait()):
            self._its.say(f"not back with the old conf either: its {NAME} ({why})")

    def _wait(self) -> str:
        """Why its last try failed, "" once one passes."""
        check = self._check
        assert check
        if self._its.owners.noted is None:
            # then nobody has waited for it
            works.ask(self._ctid, _BOOT, engines=False)
        why = self._try(check)
        for _ in range(check.retries):
            if not why:
                break
            time.sleep(check.interval)
            why = self._try(check)
        return why

    def _try(self, check: HealthCheck) -> str:
        """Why it fails, in one printable line; "" where it passes."""
        try:
            return self._fetch(check) if check.url else self._run(check)
        except OSError as error:
            return f"{error.filename or 'it'}: {error.strerror or error}"

    def _enters_a_program(self, check: HealthCheck) -> bool:
        return bool(check.argv) and outside.applies(self._ctid)

    def _run(self, check: HealthCheck) -> str:
        ended = guest.attach(self._ctid, check.argv, seconds=check.timeout, limit=MIB, merge=True)
        return "" if ended.ok else guest.last_line(ended)

    def _fetch(self, check: HealthCheck) -> str:
        url = parse_url(check.url)
        words = (url.scheme, url.host, f"{url.port:d}", url.target, f"{check.timeout:d}")
        ended = network.run_in(self._ctid, _CLIENT, *words, seconds=check.timeout, own=True)
        status = re.fullmatch(rb"([1-9][0-9]{2})\n", ended.out)
        if not ended.ok or status is None:
            return guest.last_line(ended)
        return "" if 200 <= int(status[1]) < 400 else f"it answers {int(status[1])}"
