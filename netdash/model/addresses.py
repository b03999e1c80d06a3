"""The one reader of IP addresses in foreign text: a malformed one is None, never an exception. The one writer of an
address with a port, and the one reader of published ports as people type them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import TypeVar

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import IP, Interface, Net
from netdash.model.numbers import port_number
from netdash.model.records import dataclass

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


# --- published ports as people type them ------------------------------------------------------------------------------

MOST = 256  # ports of one range


@dataclass(frozen=True, slots=True)
class Wanted:
    """One port; `host_port` None: of netdash's choice."""

    container_port: int
    host_port: int | None


@dataclass(frozen=True, slots=True)
class Spec:
    """One `-p` as it was typed; `bind` None: every address."""

    ports: tuple[Wanted, ...]
    proto: str = "tcp"
    bind: IP | None = None


def parse_spec(text: str, proto: str | None = None, bind: str | None = None, most: int = MOST) -> Spec:
    """`[[IP:]HOST:]PORT[/PROTO]`, where HOST and PORT may be ranges of one length, and of `most` ports. `proto` and
    `bind`: said beside it. Raises NetdashError(USAGE)."""
    body, slash, suffix = text.strip().partition("/")
    suffix = suffix.lower() if slash else ""
    if suffix not in ("tcp", "udp") and slash:
        raise _wrong(f"{text!r}: the protocol is tcp or udp")
    if proto and suffix and proto != suffix:
        raise _wrong(f"{text!r} says {suffix}, --proto says {proto}")
    before, _, inner = body.rpartition(":")
    ip, _, outer = before.rpartition(":")
    if ip and bind:
        raise _wrong(f"{text!r} names an address, and so does --bind")
    return Spec(_pairs(text, outer, inner, most), proto or suffix or "tcp", _ip(ip or bind))


def _ip(text: str | None) -> IP | None:
    if not text:
        return None
    ip = address(text.removeprefix("[").removesuffix("]"))
    if ip is None or "%" in text or ip.is_multicast:
        raise _wrong(f"{text!r} is not an address that can be bound")
    return ip


def _pairs(text: str, outer: str, inner: str, most: int) -> tuple[Wanted, ...]:
    inside = _range(text, inner, most)
    if not outer:
        return tuple(Wanted(port, None) for port in inside)
    outside = _range(text, outer, most)
    if len(outside) != len(inside):
        raise _wrong(f"{text!r}: {len(outside)} host ports for {len(inside)} container ports")
    return tuple(Wanted(port, host) for host, port in zip(outside, inside, strict=True))


def _range(text: str, words: str, most: int) -> range:
    first, dash, last = words.partition("-")
    low = _port(text, first)
    high = _port(text, last) if dash else low
    if high < low or high - low >= most:
        raise _wrong(f"{text!r}: a range runs upwards, and over {most} ports at most")
    return range(low, high + 1)


def _port(text: str, digits: str) -> int:
    port = port_number(digits)
    if port is None:
        raise _wrong(f"{text!r} is not [HOST:]PORT")
    return port


def _wrong(message: str) -> NetdashError:
    return NetdashError(message, "as 8080:80, 80, or 8000-8002:8000-8002", Exit.USAGE)
