"""One connection to loopback: what it is told to be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from netdash.apply.probe_socket import ProbeSocket, probe_socket
from netdash.model.addresses import LOOPBACK
from netdash.trace.model import Origin, Question


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.settimeout(10)
        yield one


def _sent(port: int) -> ProbeSocket:
    sender = probe_socket(Question(Origin.HOST, LOOPBACK[4], "tcp", port), None)
    assert sender.send() == ""
    return sender


def _port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_its_port_is_known_before_it_sends(server: socket.socket) -> None:
    with closing(_sent(_port(server))) as sender:
        accepted, peer = server.accept()
        accepted.close()
        assert peer == ("127.0.0.1", sender.port)


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        (b"hello", (True, "answers")),
        (b"", (False, "is accepted and closed at once")),
        (None, (None, "is accepted")),
    ],
)
def test_who_accepts_serves_hangs_up_or_waits(
    server: socket.socket, says: bytes | None, outcome: tuple[bool | None, str]
) -> None:
    accepted: list[socket.socket] = []

    def serve() -> None:
        accepted.append(server.accept()[0])
        if says is not None:
            accepted[0].sendall(says)
            accepted[0].close()

    thread = threading.Thread(target=serve)
    thread.start()
    with closing(_sent(_port(server))) as sender:
        assert sender.connected(10) == outcome
    thread.join(10)
    accepted[0].close()


def test_a_refusal(server: socket.socket) -> None:
    port = _port(server)
    server.close()
    with closing(_sent(port)) as sender:
        assert sender.connected(10) == (False, "connection refused")


def test_a_datagram_is_empty() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        with closing(probe_socket(Question(Origin.HOST, LOOPBACK[4], "udp", _port(receiver)), None)) as sender:
            assert sender.send() == ""
            assert receiver.recvfrom(99) == (b"", ("127.0.0.1", sender.port))
