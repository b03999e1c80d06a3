"""One packet at one hook, as far as rules can ask for it; and a connection through this host as people think of it.

Knows no rule."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from netdash.model.host import IP, Ends, Proxy, TrackedFlow
from netdash.model.records import dataclass, field

__all__ = ["Ends", "Packet", "Routes"]


class Routes(Protocol):
    """What the routes say, for conditions that ask them."""

    def kind(self, ip: IP, device: str) -> str | None:
        """LOCAL, UNICAST … by the routes of one device; None: not known."""

    def in_set(self, name: str, ip: IP) -> bool | None:
        """Whether an ipset of single addresses or nets holds this one; None: not known."""

    def leads_back(self, packet: Packet, loose: bool, marked: bool, local: bool) -> bool | None:
        """Whether the way back to the source leads out by `packet.iif` (`loose`: anywhere), asked for with the packet's
        mark when `marked`; `local`: this host's own addresses will do."""


@dataclass(frozen=True, slots=True)
class Arp:
    """What ARP says of IPv4 addresses."""

    operation: str  # request, reply
    src: IP | None
    dst: IP | None


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet at one hook. None is "not known"; a device of "" is "has none" (a packet that the host itself sends came
    in by none)."""

    family: int  # 4 or 6; 0 of ARP
    proto: str | None = None  # tcp, udp, icmp, ipv6-icmp …
    src: IP | None = None
    dst: IP | None = None
    sport: int | None = None
    dport: int | None = None
    iif: str | None = None
    oif: str | None = None
    ctstate: str | None = "NEW"
    src_type: str | None = None  # LOCAL, UNICAST, BROADCAST, MULTICAST …
    dst_type: str | None = None
    mark: int | None = None
    ephemeral: tuple[int, int] | None = None  # where `sport` lies when it is not known
    held: frozenset[int] = frozenset()  # ports of the sender's own sockets: the kernel chooses none of them for another
    ephemeral_dport: tuple[int, int] | None = None  # the same of `dport`, of an answer
    tcp_flags: frozenset[str] | None = None  # those that are set
    icmp: tuple[int, int] | None = None  # type and code
    connmark: int | None = None
    ctstatus: frozenset[str] | None = None
    ctdir: str | None = None  # ORIGINAL, REPLY; "" without a connection
    original: Ends | None = None  # of its connection
    reply: Ends | None = None
    physdev_in: str | None = None  # port of a bridge; "" for none
    physdev_out: str | None = None
    bridged: bool | None = None  # goes from port to port of one bridge
    uid: int | None = None  # of the local socket
    whole: bool | None = None  # no fragment
    length: tuple[int, int] | None = None  # of the IP packet in bytes, at least and at most
    hops: int | None = None  # that it may take yet (time to live, hop limit)
    arp: Arp | None = None  # family is 0: no IP packet
    mac: str | None = None  # of the frame's sender, at a bridge
    mac_dst: str | None = None
    routes: Routes | None = field(default=None, compare=False, repr=False)


GROUPINGS = ("container", "port", "peer")
"""What connections can be added up by."""


class Trouble(Enum):
    """What stands out about a connection."""

    UNANSWERED = "unanswered"
    STALE = "stale"  # its translation is from before the rules that there are now


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """One end: an address with its port, whose it is."""

    ip: IP | None
    port: int | None
    container: str | None = None  # id; of one that shares the namespace of another, the other's
    here: bool = False  # an address of this host


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection. A connection that a userland proxy takes is two for the kernel: `entry` is the client's, `behind`
    the one that the proxy opened for it; where that is not known, it is one of `behind_among` that have no record of
    their own."""

    key: str  # the same in every reading: protocol, zone, and the ends as they were first
    entry: TrackedFlow
    client: FlowEnd  # who asked
    asked: FlowEnd  # whom, as the client knows it
    server: FlowEnd  # who answers
    source: tuple[IP, int | None] | None  # what the client's address was translated to
    proxy: Proxy | None = None
    behind: TrackedFlow | None = None
    behind_among: int = 0
    trouble: Trouble | None = None

    @property
    def translated(self) -> bool:
        """Whether what the client asked for is not where it goes (DNAT)."""
        return self.proxy is None and (self.asked.ip, self.asked.port) != (self.server.ip, self.server.port)

    @property
    def containers(self) -> tuple[str, ...]:
        """Ids of those at its ends."""
        ends = (self.client.container, self.server.container)
        return tuple(dict.fromkeys(identity for identity in ends if identity is not None))

    @property
    def packets(self) -> int | None:
        return self.entry.packets

    @property
    def bytes(self) -> int | None:
        return self.entry.bytes
