"""A routing socket of the kernel: dumps and events as decoded messages, one at a time. Asks only, never sets.

The messages are pyroute2's; its own sockets are not used: they decode a whole dump before they hand out the first
message, which takes 40 kB a device, and run an event loop of their own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Message = Any
"""A mapping with the fields of the kernel's struct, "attrs" as pairs and "event" as "RTM_NEWLINK"."""

_HEADER = struct.Struct("=IHHII")
_ERROR, _DONE = 2, 3
_DUMP, _ASK = 0x301, 0x1  # NLM_F_REQUEST with or without NLM_F_DUMP
_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE, _GETNSID = 18, 22, 26, 30, 34, 90
_EVENTS = {
    kind + offset: f"RTM_{verb}{name}"
    for kind, name in ((16, "LINK"), (20, "ADDR"), (24, "ROUTE"), (28, "NEIGH"), (32, "RULE"))
    for offset, verb in enumerate(("NEW", "DEL"))
}
_BODIES = {_GETLINK: 16, _GETADDR: 8, _GETROUTE: 12, _GETNEIGH: 12, _GETRULE: 12}
_WITHOUT_STATISTICS = struct.pack("=HHI", 8, 29, 8)  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
_NETNS_PID, _NETNS_ID = 2, 1  # NETNSA_PID, NETNSA_NSID
_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19)  # RTNLGRP: link, neigh, ipv4 ifaddr route rule, ipv6 ifaddr route rule
_BUFFER = 1 << 21
_LIMIT = 5.0  # seconds that the kernel may take for one answer


def decoder() -> Callable[[bytes], Iterable[Message]]:
    """Decodes what a routing socket receives; messages of other kinds are left out."""
    classes = _classes()

    def decode(data: bytes) -> Iterator[Message]:
        for kind, _, raw in _split(data):
            name = _EVENTS.get(kind)
            if name is not None:
                message = classes[name[7:]](raw)
                message.decode()
                message["event"] = name
                yield message

    return decode


def _classes() -> Mapping[str, Callable[[bytes], Message]]:
    with _bare_package("pyroute2"):
        from pyroute2.netlink.rtnl.fibmsg import fibmsg  # type: ignore[import-untyped]
        from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # type: ignore[import-untyped]
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # type: ignore[import-untyped]
        from pyroute2.netlink.rtnl.ndmsg import ndmsg  # type: ignore[import-untyped]
        from pyroute2.netlink.rtnl.rtmsg import rtmsg  # type: ignore[import-untyped]
    return {"LINK": ifinfmsg, "ADDR": ifaddrmsg, "ROUTE": rtmsg, "RULE": fibmsg, "NEIGH": ndmsg}


@contextlib.contextmanager
def _bare_package(name: str) -> Iterator[None]:
    """Lets submodules be imported without the package's own __init__, which imports all that pyroute2 can do: 190
    modules, 10 MiB, 150 ms, where the five message classes take a quarter. What runs later imports it whole."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None:
        yield
        return
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[name]


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence number, message) of each message."""
    start = 0
    while start + _HEADER.size <= len(data):
        size, kind, _, number, _ = _HEADER.unpack_from(data, start)
        yield kind, number, data[start : start + size]
        start += max(_HEADER.size, (size + 3) & ~3)


class RoutingSocket:
    """Of the network namespace in which it was made. All calls raise OSError."""

    def __init__(self) -> None:
        self._decode = decoder()
        self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._link.settimeout(_LIMIT)
        self._number = 0

    def close(self) -> None:
        self._link.close()

    def links(self) -> Iterator[Message]:
        return self._dump(_GETLINK, 0, _WITHOUT_STATISTICS)

    def addresses(self) -> Iterator[Message]:
        return self._dump(_GETADDR, 0)

    def routes(self, family: int) -> Iterator[Message]:
        return self._dump(_GETROUTE, family)

    def rules(self, family: int) -> Iterator[Message]:
        return self._dump(_GETRULE, family)

    def neighbours(self, family: int) -> Iterator[Message]:
        return self._dump(_GETNEIGH, family)

    def namespace(self, pid: int) -> int:
        """RTM_GETNSID: the number that this namespace has for that of the process; -1 where it has none."""
        self._send(_GETNSID, _ASK, bytes(4) + struct.pack("=HHI", 8, _NETNS_PID, pid))
        for _, message in self._messages():
            attributes = message[_HEADER.size + 4 :]
            while len(attributes) >= 8:
                size, kind = struct.unpack_from("=HH", attributes)
                if kind == _NETNS_ID:
                    return int(struct.unpack_from("=i", attributes, 4)[0])
                attributes = attributes[max(4, (size + 3) & ~3) :]
            break
        return -1

    def _dump(self, kind: int, family: int, more: bytes = b"") -> Iterator[Message]:
        self._send(kind, _DUMP, bytes([family]) + bytes(_BODIES[kind] - 1) + more)
        for kind, message in self._messages():
            if kind == _DONE:
                return
            yield from self._decode(message)

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._number += 1
        self._link.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._number, 0) + body)

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        """Those that answer the latest question; what is left of a dump that nobody read to its end is passed over."""
        while True:
            for kind, number, message in _split(self._link.recv(1 << 15)):
                if number != self._number:
                    continue
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", message, _HEADER.size)[0]
                    raise OSError(code, os.strerror(code))
                yield kind, message


def routing_events() -> socket.socket | None:
    """A socket that receives what changes; None where the kernel does not allow it."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        link.bind((0, sum(1 << (group - 1) for group in _GROUPS)))
    except OSError:
        link.close()
        return None
    link.setblocking(False)
    return link
