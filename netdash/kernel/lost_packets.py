"""Which of the kernel's counters mean a lost packet, and what was lost. Sources: net/ipv4/ip_input.c, route.c,
tcp_input.c, udp.c, net/ipv6/ip6_input.c, nf_conntrack_core.c, net/core/dev.c."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.kernel_state import DropKind

_ROUTING, _IP, _TCP, _UDP = DropKind.ROUTING, DropKind.IP, DropKind.TCP, DropKind.UDP

_OF_BOTH: Mapping[str, tuple[DropKind, str]] = {
    "InNoRoutes": (_ROUTING, "came in, and there is no route to where it goes"),
    "OutNoRoutes": (_ROUTING, "no route to where this host sends it"),
    "InAddrErrors": (_ROUTING, "came in for an address that is not this host's, and is not forwarded"),
    "InHdrErrors": (_IP, "a bad header, or its time to live is over"),
    "InTooBigErrors": (_IP, "too big for the device that it leaves by"),
    "InUnknownProtos": (_IP, "a protocol that nothing here takes"),
    "InDiscards": (_IP, "came in, and was not taken: no memory, or its protocol is off on the device"),
    "OutDiscards": (_IP, "was not sent: a full queue, a rule, or its protocol is off on the device"),
    "InTruncatedPkts": (_IP, "shorter than its header says"),
    "ReasmFails": (_IP, "fragments that did not become a packet"),
    "FragFails": (_IP, "too big to be forwarded whole, and not to be fragmented"),
}
_OF_SOCKETS: Mapping[str, tuple[DropKind, str]] = {
    "NoPorts": (_UDP, "no program listens on the port"),
    "RcvbufErrors": (_UDP, "the receive buffer of its socket is full: the program reads too slowly"),
    "SndbufErrors": (_UDP, "the send buffer of its socket is full"),
    "MemErrors": (_UDP, "the memory of all UDP sockets is used up"),
    "InCsumErrors": (_UDP, "a wrong checksum"),
}
_NSTAT: Mapping[str, tuple[DropKind, str]] = {
    **{f"Ip{name}": drop for name, drop in _OF_BOTH.items()},
    **{f"Ip6{name}": drop for name, drop in _OF_BOTH.items()},
    **{f"Udp{name}": drop for name, drop in _OF_SOCKETS.items()},
    **{f"Udp6{name}": drop for name, drop in _OF_SOCKETS.items()},
    "IpExtInNoRoutes": _OF_BOTH["InNoRoutes"],
    "IpExtInTruncatedPkts": _OF_BOTH["InTruncatedPkts"],
    "IpExtInCsumErrors": (_IP, "a wrong checksum"),
    "TcpExtIPReversePathFilter": (_ROUTING, "its answer would leave by another device: the reverse-path filter"),
    "TcpInCsumErrors": (_TCP, "a wrong checksum"),
    "TcpExtListenOverflows": (_TCP, "a program accepts too slowly: its queue of connections is full"),
    "TcpExtListenDrops": (_TCP, "a listening socket did not take it, also because of ListenOverflows"),
    "TcpExtTCPReqQFullDrop": (_TCP, "the queue of half-open connections is full"),
    "TcpExtTCPBacklogDrop": (_TCP, "the backlog of its socket is full"),
    "TcpExtTCPRcvQDrop": (_TCP, "the receive queue of its socket is full"),
    "TcpExtTCPZeroWindowDrop": (_TCP, "its socket had announced that it takes no more"),
    "TcpExtRcvPruned": (_TCP, "thrown away from a receive queue: no memory"),
    "TcpExtTCPOFODrop": (_TCP, "out of order, and there was no room for it"),
    "TcpExtTCPMinTTLDrop": (_TCP, "its time to live is lower than its socket takes"),
    "TcpExtPFMemallocDrop": (_TCP, "only memory that is kept for swapping was left"),
}
_CONNTRACK: Mapping[str, tuple[DropKind, str]] = {
    "insert_failed": (DropKind.CONNTRACK, "its connection could not be added: mostly two packets at the same moment"),
    "drop": (DropKind.CONNTRACK, "its connection was not kept: the table is full, or it met another in being added"),
    "early_drop": (DropKind.CONNTRACK, "a connection was forgotten to make room for a new one"),
}
_LINK: Mapping[str, tuple[DropKind, str]] = {
    "rx_errors": (DropKind.LINK, "came in damaged"),
    "rx_dropped": (DropKind.LINK, "came in, and was not taken"),
    "rx_missed": (DropKind.LINK, "came in faster than the device was read"),
    "tx_errors": (DropKind.LINK, "could not be sent"),
    "tx_dropped": (DropKind.LINK, "to be sent, and its queue was full or nothing takes it"),
}
_SOFTNET: Mapping[str, tuple[DropKind, str]] = {
    "softnet_dropped": (DropKind.SOFTNET, "came in faster than a processor of this machine takes it"),
    "softnet_flow_limit": (DropKind.SOFTNET, "one connection used more than its share of a processor"),
}
LOST: Mapping[str, tuple[DropKind, str]] = {**_NSTAT, **_CONNTRACK, **_LINK, **_SOFTNET}
"""By the counter's name. No such name stands in two sources."""
