"""The kernel's netlink sockets, as far as no tool prints what they say: that something changed, and the numbers of
network namespaces. Asks only, never sets.

Of an event only its header is read: what changed is asked of iproute2 and nft then. pyroute2's sockets are not used for
events: they read ahead into a queue of their own, so that `select` does not tell of what waits there."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator

from netdash.engine.log import logged
from netdash.model.kernel_state import LinkCounts

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST = 0x1  # NLM_F_REQUEST
_NEIGHBOUR = 28  # RTM_NEWNEIGH
_TABLES = {16: "links", 20: "links", 24: "routes", _NEIGHBOUR: "neighbours", 32: "policy"}
"""RTM_NEWLINK, NEWADDR, NEWROUTE, NEWNEIGH, NEWRULE -> the table that changed; RTM_DEL… is each number and one."""
_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19)  # RTNLGRP: link, neigh, ipv4 ifaddr route rule, ipv6 ifaddr route rule
_NO_NUMBER = 0xFFFFFFFF  # NETNSA_NSID_NOT_ASSIGNED
NETFILTER = 12  # NETLINK_NETFILTER
_NFTABLES_GROUP = 7  # NFNLGRP_NFTABLES
_CONNTRACK_GROUPS = (1, 2, 3)  # NFNLGRP_CONNTRACK_NEW, UPDATE, DESTROY
_GETGEN, _NEWGEN = 0x0A10, 0x0A0F  # NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, NFT_MSG_NEWGEN
_GENERATION_ID = 1  # NFTA_GEN_ID
_GETSTATS, _NEWSTATS = 94, 92  # RTM_…
_LINK_64 = 1  # IFLA_STATS_LINK_64, and its bit in the mask of what is asked for
_STATS = struct.Struct("=BxHII")  # struct if_stats_msg
_COUNTERS = struct.Struct("=8Q")  # how struct rtnl_link_stats64 begins
_DUMP = 0x300  # NLM_F_DUMP
_ERROR, _DONE = 2, 3  # NLMSG_…
_BUFFER, _BUSY = 1 << 21, 1 << 23
_RCVBUFFORCE = 33  # SO_RCVBUFFORCE
_LIMIT = 1.0  # seconds that the kernel may take for one answer


def routing_events() -> socket.socket | None:
    """A socket that receives what changes in links, addresses, routes, policy rules and neighbours; None where the
    kernel does not allow it."""
    return _events(socket.NETLINK_ROUTE, _GROUPS)


def rule_events() -> socket.socket | None:
    """A socket that becomes readable when rules of nftables change; None without the right to listen."""
    return _events(NETFILTER, (_NFTABLES_GROUP,))


def conntrack_events() -> socket.socket | None:
    """A socket that receives which connections begin, change and end; None without the right to listen."""
    events = _events(NETFILTER, _CONNTRACK_GROUPS)
    if events is not None:
        with contextlib.suppress(OSError):  # root may have more than net.core.rmem_max
            events.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUSY)
    return events


def _events(protocol: int, groups: Iterable[int]) -> socket.socket | None:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        link.bind((0, sum(1 << (group - 1) for group in groups)))
    except OSError:
        link.close()
        return None
    link.setblocking(False)
    return link


def received(events: socket.socket) -> tuple[bytes, bool]:
    """Everything that has come, and whether the kernel had to drop some of it (ENOBUFS)."""
    parts, dropped = [], False
    while True:
        try:
            parts.append(events.recv(1 << 16))
        except BlockingIOError:
            return b"".join(parts), dropped
        except OSError:
            dropped = True


def changed_tables(data: bytes) -> set[str]:
    """Which of "links", "routes", "policy" and "neighbours" these messages concern. The kernel tells of no IPv4 route
    that goes with its device or address. What a bridge tells of its ports (the last time 15 seconds after a container
    started) changes no route, and the MAC addresses that it learns are no neighbours of `ip neigh`."""
    found: set[str] = set()
    for kind, _, message in messages(data):
        table = _TABLES.get(kind & ~1, "")
        if message[:1] != bytes([socket.AF_BRIDGE]):
            found |= {table, "routes"} if table == "links" else {table}
        elif table == "links":
            found.add(table)
    return found - {""}


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, flags, what follows the header) of each message."""
    start = 0
    while start + _HEADER.size <= len(data):
        size, kind, flags, _, _ = _HEADER.unpack_from(data, start)
        yield kind, flags, data[start + _HEADER.size : start + size]
        start += max(_HEADER.size, (size + 3) & ~3)


def dump(link: socket.socket, kind: int, question: bytes) -> Iterator[bytes]:
    """What follows the header of each message of the answer. Raises OSError."""
    link.send(_HEADER.pack(_HEADER.size + len(question), kind, _REQUEST | _DUMP, 1, 0) + question)
    while True:
        for answered, _, message in messages(link.recv(1 << 16)):
            if answered == _DONE:
                return
            if answered == _ERROR:
                number = -struct.unpack_from("=i", message)[0] if len(message) >= 4 else 0
                raise OSError(number, os.strerror(number))
            yield message


@logged("netlink", "numbers of network namespaces (RTM_GETNSID)")
def namespace_ids(pids: Iterable[int]) -> dict[str, int]:
    """By process id the number that this network namespace has for that of the process, to which a veth's link_netnsid
    refers; -1 where it has none. Needs no privilege. A process that is gone is left out. Raises OSError."""
    from pyroute2 import IPRoute, NetlinkError  # type: ignore[import-untyped]  # 0.13 s: not before the first rows

    found = {}
    with IPRoute() as routing:
        for pid in pids:
            try:
                number = routing.get_netnsid(pid=pid)["nsid"]
            except NetlinkError as error:
                if error.code == errno.ESRCH:
                    continue
                raise OSError(error.code, os.strerror(error.code)) from error
            found[str(pid)] = -1 if number == _NO_NUMBER else number
    return found


@logged("netlink", "counters of devices (RTM_GETSTATS)")
def link_counters(indexes: Iterable[int] = ()) -> dict[int, LinkCounts]:
    """The counters of these devices, or of all where none is named. Needs no privilege. A device that is gone is left
    out. Raises OSError."""
    found = dict[int, LinkCounts]()
    with _question(socket.NETLINK_ROUTE) as link:
        for index in indexes or (0,):
            question = _STATS.pack(0, 0, index, _LINK_64)
            size = _HEADER.size + len(question)
            link.send(_HEADER.pack(size, _GETSTATS, _REQUEST | (0 if index else _DUMP), 1, 0) + question)
            while _take_counters(link.recv(1 << 16), found) and not index:
                pass
    return found


def _take_counters(data: bytes, found: dict[int, LinkCounts]) -> bool:
    """Whether more of a dump is to come."""
    for kind, _, body in messages(data):
        if kind != _NEWSTATS:
            return False
        counters = _attribute(body[_STATS.size :], _LINK_64)
        if len(counters) >= _COUNTERS.size:
            found[_STATS.unpack_from(body)[2]] = LinkCounts(*_COUNTERS.unpack_from(counters))
    return True


@logged("netlink", "generation of nftables (NFT_MSG_GETGEN)")
def generation() -> int | None:
    """A number that grows with every change by nft or iptables-nft; None where it cannot be asked."""
    with contextlib.suppress(OSError), _question(NETFILTER) as link:
        kind, answer = _ask(link, _GETGEN, bytes(4))
        number = _attribute(answer[4:], _GENERATION_ID)
        if kind == _NEWGEN and len(number) == 4:
            return int.from_bytes(number, "big")
    return None


def _question(protocol: int) -> socket.socket:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    link.settimeout(_LIMIT)
    return link


def _ask(link: socket.socket, kind: int, body: bytes) -> tuple[int, bytes]:
    link.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body)
    kind, _, answer = next(messages(link.recv(1 << 15)), (0, 0, b""))
    return kind, answer


def _attribute(attributes: bytes, wanted: int) -> bytes:
    """The value of a netlink attribute; b"" where it is not there."""
    while len(attributes) >= 4:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind & 0x3FFF == wanted:
            return attributes[4:size]
        attributes = attributes[max(4, (size + 3) & ~3) :]
    return b""
