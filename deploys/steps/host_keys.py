"""The host keys of nodes: where pyinfra looks for them, and what is told where one is not known.

pyinfra names the reason alone, and where no other node is left it ends before any recipe is read:
so its own line is gone on with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from click import unstyle
from paramiko.config import SSH_PORT
from pyinfra import logger
from pyinfra.connectors.sshuserclient.client import get_ssh_config


class _NextStep(logging.Filter):
    """Adds to pyinfra's error line; `logins`: by name of the node, what one types for ssh."""

    def __init__(self, logins: Mapping[str, str]) -> None:
        super().__init__()
        self._logins = logins

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line through; that of an unknown host key with what to do."""
        said = record.getMessage()
        # pyinfra, api/host.py connect: "[pve1] SSH error (StrictPolicy: No host key for ...)"
        name = unstyle(said).strip().partition("]")[0].removeprefix("[")
        if "StrictPolicy: No host key for" in said and name in self._logins:
            record.msg, record.args = (
                f"{said}: log in once by hand, compare the fingerprint of its host key with the "
                f"node's own, and accept it: ssh {self._logins[name]}",
                (),
            )
        return True


def explain_unknown_keys(logins: Mapping[str, str]) -> None:
    """Have pyinfra say what to do where the host key of one of these nodes is not known."""
    logger.addFilter(_NextStep(logins))


def known_as(address: str) -> str:
    """The name under which pyinfra looks for the key of a host, in ssh's own form.

    ssh_config(5) may have another host or port for it; pyinfra reads no HostKeyAlias.
    """
    config = get_ssh_config()
    found = config.lookup(address) if config else {}
    host, port = found.get("hostname", address), int(found.get("port", SSH_PORT))
    # paramiko, client.py connect
    return host if port == SSH_PORT else f"[{host}]:{port}"
