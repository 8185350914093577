"""That a node is gone is noticed: one whose power has failed does not even end its connection."""

from __future__ import annotations

import socket

from pyinfra.api import State

#: Seconds between two questions whether it is there, and without an answer until it is given up:
#: more than a switch or a firewall takes to come back.
_ASK, _PATIENCE = 30, 300


def notice_silence(state: State) -> None:
    """Have the connections to nodes end that give no answer; those that are none of ssh's stay.

    Without that a command waits for its own deadline (`operations.unit.TIMEOUT`), half an hour.
    """
    for host in state.inventory.get_active_hosts():
        client = getattr(host.connector, "client", None)
        transport = client.get_transport() if client else None
        if transport is None:
            continue
        transport.set_keepalive(_ASK)
        # tcp(7): Linux has it; through a jump host it is no socket of ours
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and isinstance(transport.sock, socket.socket):
            transport.sock.setsockopt(socket.IPPROTO_TCP, option, _PATIENCE * 1000)
