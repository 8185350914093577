"""Connections to nodes that give no answer any more end."""

import socket
from types import SimpleNamespace

import pytest
from paramiko import Transport

from deploys.steps.alive import notice_silence


@pytest.fixture
def transport():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs:
            yield Transport(ours)


def run_of(*connectors):
    hosts = [SimpleNamespace(connector=one) for one in connectors]
    return SimpleNamespace(inventory=SimpleNamespace(get_active_hosts=lambda: hosts))


def ssh(transport):
    return SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))


def test_one_of_ssh_is_given_up_after_five_minutes_without_an_answer(transport):
    notice_silence(run_of(ssh(transport)))
    patience = transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert patience == 300_000
    assert transport.packetizer._Packetizer__keepalive_interval == 30


def test_what_has_no_connection_of_ssh_is_left_as_it_is(transport):
    notice_silence(run_of(SimpleNamespace(), ssh(None)))
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_through_a_jump_host_only_the_questions_are_asked(transport):
    channel, transport.sock = transport.sock, object()
    notice_silence(run_of(ssh(transport)))
    assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    assert transport.packetizer._Packetizer__keepalive_interval == 30
    transport.sock = channel
