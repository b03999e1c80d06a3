"""`ipset save`, `conntrack -S`, `nft -j list ruleset`, `nft monitor trace` -> members of sets, counters,
names of tables, events of traced packets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from netdash.model.addresses import packed, subnet
from netdash.model.host import IP, Net
from netdash.model.numbers import decimal
from netdash.model.records import dataclass

_PLAIN = ("hash:ip", "hash:net", "bitmap:ip")


def parse_ipsets(text: str) -> Mapping[str, tuple[Net, ...]]:
    """Sets of other types, with `nomatch` or with a member that is not understood, are left out: not known."""
    found: dict[str, list[Net] | None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "create":
            found[words[1]] = [] if words[2] in _PLAIN else None
        elif len(words) > 2 and words[0] == "add":
            members, net = found.get(words[1]), subnet(words[2])
            if members is not None and net is not None and "nomatch" not in words:
                members.append(net)
            else:
                found[words[1]] = None
    return {name: tuple(members) for name, members in found.items() if members is not None}


def parse_counts(text: str) -> Mapping[str, int]:
    """`conntrack -S`: NAME=NUMBER of each processor, summed up."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        for name, _, number in (word.partition("=") for word in line.split()):
            if name != "cpu" and (count := decimal(number, 20)) is not None:
                found[name] = found.get(name, 0) + count
    return found


_TABLE = re.compile(r'"table": ?\{"family": ?"(\w+)", ?"name": ?"([^"]*)"')
_XTABLES = frozenset(("filter", "nat", "mangle", "raw", "security"))


def nft_tables(listing: str) -> frozenset[tuple[str, str]]:
    """(family, name) of each table, without decoding the listing, which may have 10,000 rules."""
    return frozenset(_TABLE.findall(listing))


def is_xtables(table: tuple[str, str], families: tuple[str, ...] = ("ip", "ip6")) -> bool:
    """Whether iptables-nft may have made the table."""
    return table[0] in families and table[1] in _XTABLES


# --- events of traced packets -----------------------------------------------------------------------------------------
# What the kernel sends to the netlink group of nf_tables' trace, which `nft monitor trace` prints as text: each rule
# that matched and each policy that was used. A message that is cut off or of another kind is left out.

GROUP = 9  # NFNLGRP_NFTRACE
_MESSAGE = 0xA11  # NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE
_HEADERS = 20  # bytes of struct nlmsghdr and struct nfgenmsg
_IN_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID, _NETWORK, _TRANSPORT, _IIF, _OIF, _FAMILY, _POLICY = (
    1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16,
)  # fmt: skip
"""NFTA_TRACE_…"""
_CODE, _TO = 1, 2  # NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN
_POLICY_USED = 1  # NFT_TRACETYPE_POLICY
_FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}
_VERDICTS = {
    0: "drop",
    1: "accept",
    2: "stolen",
    3: "queue",
    -1: "continue",
    -2: "break",
    -3: "jump",
    -4: "goto",
    -5: "return",
}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}
_ECHO_REQUESTS = {"icmp": 8, "ipv6-icmp": 128}


@dataclass(frozen=True, slots=True)
class Headers:
    """Addresses and ports of a packet; of an echo request `sport` is its id."""

    proto: str
    src: IP
    dst: IP
    sport: int
    dport: int | None


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """A rule that matched, or (`handle` None) the policy of a base chain."""

    id: int  # of the packet; br_netfilter gives one packet two
    family: str  # of the packet in tables of ip, ip6 and inet; bridge, netdev
    table: str
    chain: str
    handle: int | None
    verdict: str
    to: str | None = None  # the chain of a jump or goto
    network: bytes = b""  # the packet's headers, in its first event in a base chain
    transport: bytes = b""
    iif: int | None = None
    oif: int | None = None

    @property
    def headers(self) -> Headers | None:
        return _headers(self.network, self.transport)


def trace_events(data: bytes) -> Iterator[TraceEvent]:
    """The events of what one `recv` of the group's socket returned."""
    at = 0
    while at + _HEADERS <= len(data):
        size, kind = _native(data[at : at + 4]), _native(data[at + 4 : at + 6])
        if size < _HEADERS or at + size > len(data):
            return
        if kind == _MESSAGE:
            event = _event(_attributes(data[at + _HEADERS : at + size]))
            if event is not None:
                yield event
        at += (size + 3) & ~3


def _event(parts: dict[int, bytes]) -> TraceEvent | None:
    family = _FAMILIES.get(_number(parts.get(_FAMILY)) or 0)
    verdict = _attributes(parts.get(_VERDICT, b""))
    policy = _number(parts.get(_TYPE)) == _POLICY_USED
    handle = None if policy else _number(parts.get(_HANDLE))
    code = parts.get(_POLICY) if policy else verdict.get(_CODE)
    word = _VERDICTS.get(int.from_bytes(code, "big", signed=True)) if code else None
    if family is None or word is None or (handle is None and not policy):
        return None  # the end of a chain that was jumped to has no handle
    return TraceEvent(
        _number(parts.get(_ID)) or 0,
        family,
        _text(parts.get(_IN_TABLE, b"")),
        _text(parts.get(_CHAIN, b"")),
        handle,
        word,
        _text(verdict[_TO]) if _TO in verdict else None,
        parts.get(_NETWORK, b""),
        parts.get(_TRANSPORT, b""),
        _number(parts.get(_IIF)),
        _number(parts.get(_OIF)),
    )


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = _native(data[at : at + 2]), _native(data[at + 2 : at + 4])
        if size < 4 or at + size > len(data):
            break
        found[kind & 0x3FFF] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


def _headers(network: bytes, transport: bytes) -> Headers | None:
    """Of TCP, UDP and echo requests; None for all else, and for a later fragment."""
    four = len(network) >= 20 and network[0] >> 4 == 4
    if not four and not (len(network) >= 40 and network[0] >> 4 == 6):
        return None
    proto = _PROTOCOLS.get(network[9] if four else network[6])
    src, dst = (network[12:16], network[16:20]) if four else (network[8:24], network[24:40])
    source, destination = packed(src), packed(dst)
    fragment = four and int.from_bytes(network[6:8], "big") & 0x1FFF
    if proto is None or source is None or destination is None or len(transport) < 8 or fragment:
        return None
    if proto in _ECHO_REQUESTS:
        if transport[0] != _ECHO_REQUESTS[proto]:
            return None
        return Headers(proto, source, destination, int.from_bytes(transport[4:6], "big"), None)
    ports = int.from_bytes(transport[:2], "big"), int.from_bytes(transport[2:4], "big")
    return Headers(proto, source, destination, *ports)


def _native(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder)


def _number(raw: bytes | None) -> int | None:
    """Attributes are in network byte order."""
    return int.from_bytes(raw, "big") if raw else None


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")
