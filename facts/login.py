"""Who one is on a node, asked by its shell alone."""

from __future__ import annotations

from pyinfra.api import FactBase, Host
from typing_extensions import override

from phoenix.pve.login import ObservedLogin, read_login


class Login(FactBase[ObservedLogin]):
    """User, python3 and `pct`: what there must be before the node's own program can be sent.

    ```
    uid 0
    user root
    python Python 3.13.5
    pct /usr/sbin/pct
    ```

    becomes `ObservedLogin(uid=0, user="root", python=(3, 13), pct="/usr/sbin/pct")`.
    """

    @override
    def command(self) -> str:
        """Ask; what is not there leaves its line empty."""
        asked = {
            "uid": "id -u",
            "user": "id -un",
            "python": "python3 -V",
            "pct": "command -v pct",
        }
        return "; ".join(f'echo "{key} $({how} 2>/dev/null)"' for key, how in asked.items())

    @staticmethod
    @override
    def default() -> ObservedLogin:
        return ObservedLogin()

    @override
    def process(self, output: list[str]) -> ObservedLogin:
        return read_login(output)


def ask_login(host: Host) -> ObservedLogin:
    """What a node says; nothing where its shell runs no command, or the connection ends meanwhile.

    Neither fails the node, so that the others are told as well.
    """
    try:
        said: ObservedLogin = host.get_fact(Login, _ignore_errors=True)
        return said
    except EOFError:
        # paramiko's, as a connection ends
        return ObservedLogin()
