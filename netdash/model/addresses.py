"""The one reader of IP addresses in foreign text: a malformed one is None, never an exception. And the one writer of an
address with a port."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import TypeVar

from netdash.model.host import IP, Interface, Net

LOOPBACK: dict[int, IP] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}

_Read = TypeVar("_Read")
_ZONE = re.compile(r"[0-9A-Za-z_.-]{1,15}")  # a device's name or number; `ipaddress` takes any text behind the %


@lru_cache(maxsize=65536)
def address(text: str | None) -> IP | None:
    return _read(ip_address, text) if text else None


@lru_cache(maxsize=65536)
def interface(text: str, prefix: int | None) -> Interface | None:
    """An address with the length of its network's prefix, which may stand in the text."""
    return _read(ip_interface, f"{text}/{prefix}" if prefix else text)


@lru_cache(maxsize=4096)
def subnet(text: str) -> Net | None:
    """A network, or the one that an address with a prefix length is in."""
    return _read(lambda text: ip_network(text, strict=False), text)


def socket_text(ip: IP | str | None, port: int | None) -> str:
    """ADDRESS:PORT, an IPv6 address in brackets; only the address where there is no port, "?" where there is none."""
    if ip is None:
        return "?"
    shown = f"[{ip}]" if ":" in str(ip) else str(ip)
    return shown if port is None else f"{shown}:{port}"


def only(ip: IP) -> Net:
    """The network of one address alone."""
    return ip_network(ip)


def packed(raw: bytes) -> IP | None:
    """An address of 4 or 16 bytes in network byte order."""
    return IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw) if len(raw) == 16 else None


def _read(reader: Callable[[str], _Read], text: str) -> _Read | None:
    _, percent, rest = text.partition("%")
    if percent and not _ZONE.fullmatch(rest.partition("/")[0]):
        return None
    try:
        return reader(text)
    except ValueError:
        return None
