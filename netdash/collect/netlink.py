"""What no tool prints: that the kernel's tables changed, and the numbers of network namespaces, by pyroute2. Asks only,
never sets.

Of an event only its kind is used: what changed is asked of iproute2 and nft then. pyroute2 is loaded at the first call:
it takes 0.13 s and 14 MiB, which neither the first rows nor a command on a recording wait for."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterable
from typing import Any

Events = Any
"""A socket of pyroute2's, which `select` takes; its classes have no types."""

_TABLES = {"LINK": "links", "ADDR": "links", "ROUTE": "routes", "NEIGH": "neighbours", "RULE": "policy"}
_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19)  # RTNLGRP: link, neigh, ipv4 ifaddr route rule, ipv6 ifaddr route rule
_NFTABLES_GROUP = 7  # NFNLGRP_NFTABLES
_NETFILTER = 12  # NETLINK_NETFILTER
_GETGEN, _NEWGEN = 0x0A10, 0x0A0F  # NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, NFT_MSG_NEWGEN
_LIMIT = 1.0  # seconds that the kernel may take for one answer
_NO_NUMBER = 0xFFFFFFFF  # NETNSA_NSID_NOT_ASSIGNED


def routing_events() -> Events | None:
    """A socket that receives what changes in links, addresses, routes, policy rules and neighbours; None where the
    kernel does not allow it."""
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

    return _listening(IPRoute(), _GROUPS)


def rule_events() -> Events | None:
    """A socket that becomes readable when rules of nftables change; None without the right to listen."""
    from pyroute2.netlink.nfnetlink.nftsocket import NFTSocket  # type: ignore[import-untyped]

    return _listening(NFTSocket(), (_NFTABLES_GROUP,))


def _listening(events: Any, groups: Iterable[int]) -> Any:
    try:
        events.bind(groups=sum(1 << (group - 1) for group in groups))
    except OSError:
        events.close()
        return None
    return events


def changed_tables(events: Events) -> set[str] | None:
    """Which of "links", "routes", "policy" and "neighbours" the events that have come concern; None where the kernel
    had to drop some of them (ENOBUFS). A bridge announces the MAC addresses that it learns as neighbours, of which `ip
    neigh` lists none."""
    found = set()
    while select.select([events], [], [], 0)[0]:
        try:
            messages = list(events.get())
        except OSError:
            return None
        for message in messages:
            kind = str(message.get("event", "")).removeprefix("RTM_NEW").removeprefix("RTM_DEL")
            if kind != "NEIGH" or message.get("family") != socket.AF_BRIDGE:
                found.add(_TABLES.get(kind, ""))
    return found - {""}


def namespace_ids(pids: Iterable[int]) -> dict[str, int]:
    """By process id the number that this network namespace has for that of the process, to which a veth's link_netnsid
    refers; -1 where it has none. Needs no privilege. A process that is gone is left out. Raises OSError."""
    from pyroute2 import IPRoute, NetlinkError

    found = {}
    with IPRoute() as routing:
        for pid in pids:
            with contextlib.suppress(NetlinkError):
                number = routing.get_netnsid(pid=pid)["nsid"]
                found[str(pid)] = -1 if number == _NO_NUMBER else number
    return found


def generation() -> int | None:
    """A number that grows with every change by nft or iptables-nft; None where it cannot be asked. Every list of rules
    asks for it: one message, without pyroute2."""
    request = struct.pack("=IHHIIBBH", 20, _GETGEN, 1, 1, 0, 0, 0, 0)  # nlmsghdr with NLM_F_REQUEST, nfgenmsg
    with contextlib.suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as link:
        link.settimeout(_LIMIT)
        link.send(request)
        answer = link.recv(1 << 12)
        if len(answer) >= 28 and struct.unpack_from("=H", answer, 4)[0] == _NEWGEN:
            return int.from_bytes(answer[24:28], "big")  # NFTA_GEN_ID, the first attribute
    return None
