"""What a capture works with: the points where packets are captured, one packet at one point, and one packet at all the
points where it was seen. Frozen records; nothing here opens a socket."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum

from netdash.model.host import IP, Container
from netdash.model.records import dataclass
from netdash.trace.model import Decision

NANOSECONDS = 1_000_000_000
SNAP = 96  # bytes of a frame that are saved, unless others are asked for
WHOLE = 65535


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a capture: packets, seconds, bytes of frames. `payload`: whether it is kept beside the headers."""

    packets: int = 100
    seconds: float = 30.0
    bytes: int = 64 << 20
    snap: int = SNAP
    payload: bool = False


class Side(Enum):
    """Where a point lies, seen from the container."""

    CONTAINER = "container"  # its own veth, or the bridge where that is not known
    DIRECT = "direct"  # the parent of a macvlan or ipvlan network: packets go past the host's rules and NAT
    OUTSIDE = "outside"  # a device that leads to other machines
    PEER = "peer"  # the veth of the container that was named as the peer


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition of a filter, met by a packet in either direction. None: any. `ports`: (protocol, port of ours) or
    (not both) `peer_ports`; ICMP errors and later fragments, which have no ports, meet conditions of ports."""

    ours: frozenset[IP] | None
    peers: frozenset[IP] | None = None
    ports: frozenset[tuple[str, int]] | None = None
    peer_ports: frozenset[tuple[str, int]] | None = None
    not_ports: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Point:
    """A device, and which of its packets are wanted: those that meet one of the clauses."""

    device: str
    side: Side
    network: str = ""  # the container's network there
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A port of the container that the host publishes. `host_ip` unspecified: on every address."""

    proto: str
    host_ip: IP
    host_port: int
    container_port: int | None
    proxy: bool  # whether a docker-proxy waits for its connections


@dataclass(frozen=True, slots=True)
class Plan:
    """What is captured of one container. `notes`: sentences on what is not seen."""

    container: Container  # the owner of the network namespace
    name: str  # as the user said it
    points: tuple[Point, ...]
    addresses: frozenset[IP]
    own: frozenset[IP]  # of the host
    published: tuple[Published, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tcp:
    flags: frozenset[str]  # SYN ACK FIN RST PSH URG
    seq: int
    ack: int
    length: int  # bytes of payload


@dataclass(frozen=True, slots=True)
class Icmp:
    """`quoted`: (protocol, source, its port, destination, its port) of the packet that an error is about."""

    type: int
    code: int
    id: int | None = None
    seq: int | None = None
    mtu: int | None = None
    quoted: tuple[str, IP, int | None, IP, int | None] | None = None


@dataclass(frozen=True, slots=True)
class Dns:
    id: int
    answer: bool
    code: int
    name: str
    type: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet at one point. `frame` is what may be saved of it; the ports of an echo are its id."""

    point: int  # index in the plan
    ns: int  # since the epoch, by the kernel
    size: int  # bytes of the frame as it was
    family: int
    proto: str  # tcp udp icmp ipv6-icmp …, or a number
    src: IP
    dst: IP
    sport: int | None = None
    dport: int | None = None
    ip_id: int | None = None  # of IPv4
    length: int = 0  # bytes behind the network headers
    offset: int = 0  # bytes, of a fragment
    fragment: bool = False
    tcp: Tcp | None = None
    icmp: Icmp | None = None
    dns: Dns | None = None
    payload: bytes = b""
    digest: Hashable = None  # of what NAT leaves as it is
    vlan: int | None = None
    malformed: bool = False
    frame: bytes = b""

    @property
    def identity(self) -> Hashable:
        """Equal before and after NAT, which changes addresses, ports, the id of an echo, and checksums."""
        if self.tcp is not None:
            what: Hashable = (self.tcp.seq, self.tcp.ack, self.tcp.flags, self.tcp.length)
        elif self.icmp is not None:
            what = (self.icmp.type, self.icmp.code, self.icmp.seq, self.digest)
        else:
            what = self.digest
        return (self.family, self.proto, self.ip_id, self.offset, self.length, what)

    @property
    def ends(self) -> tuple[IP, int | None, IP, int | None]:
        return self.src, self.sport, self.dst, self.dport


class Fate(Enum):
    """What became of a packet, as far as the points tell."""

    PAIRED = "paired"  # seen on both sides
    SEGMENTS = "segments"  # on the other side its bytes were seen in segments of another size
    LOCAL = "local"  # ends on this host, or stays within its network: there is no other side
    PROXY = "proxy"  # taken by the userland proxy, which makes another connection
    ELSEWHERE = "elsewhere"  # leaves by a device where nothing is captured
    LOST = "lost"  # not seen on the other side, and a rule, a route or the kernel is known to stop it
    UNKNOWN = "unknown"  # not seen on the other side, and nothing is known to stop it


@dataclass(frozen=True, slots=True)
class Outcome:
    """`decision`: who is responsible where it is LOST; `text`: why in words where there is no decision."""

    fate: Fate
    text: str = ""
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One packet at every point where it was seen, first to last. `outwards`: from the container; None: not known.
    `note`: retransmission, keep-alive. `before`: as what it was reported, where another point saw it after that;
    `news`: what of `seen` was not reported then."""

    seen: tuple[Seen, ...]
    outwards: bool | None
    outcome: Outcome
    note: str = ""
    before: Fate | None = None
    news: tuple[Seen, ...] = ()

    @property
    def late(self) -> bool:
        return self.before is not None
