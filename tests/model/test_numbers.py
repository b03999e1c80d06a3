"""Numbers, ports and sockets in foreign text, and how they are written."""

from __future__ import annotations

import pytest

from netdash.model.addresses import socket_text
from netdash.model.numbers import decimal, port_and_protocol, port_number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "²", "٣", "9" * 21, "1.0"])
def test_what_is_no_number(text: str) -> None:
    assert decimal(text) is None


@pytest.mark.parametrize(
    ("text", "port"),
    [("1", 1), ("0080", 80), ("65535", 65535), ("0", None), ("65536", None), ("000080123", None), ("80 ", None)],
)
def test_a_port_that_is_typed(text: str, port: int | None) -> None:
    assert port_number(text) == port


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("8080", (8080, "tcp")),
        ("53/udp", (53, "udp")),
        ("53/UDP ", (53, "udp")),
        ("80/", (80, "tcp")),
        ("/udp", None),
        ("0/tcp", None),
        ("65536/udp", None),
        ("web", None),
        ("²/udp", None),
    ],
)
def test_a_port_with_its_protocol(text: str, port: tuple[int, str] | None) -> None:
    assert port_and_protocol(text) == port


@pytest.mark.parametrize(
    ("ip", "port", "text"),
    [
        ("10.0.0.2", 80, "10.0.0.2:80"),
        ("::1", 80, "[::1]:80"),
        ("*", 80, "*:80"),
        ("fe80::1%eth0", 80, "[fe80::1%eth0]:80"),
        ("10.0.0.2", None, "10.0.0.2"),
        ("::1", None, "[::1]"),
        (None, 80, "?"),
    ],
)
def test_a_socket_is_written_in_one_way(ip: str | None, port: int | None, text: str) -> None:
    assert socket_text(ip, port) == text
