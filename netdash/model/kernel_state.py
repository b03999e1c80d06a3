"""The kernel's connections, neighbours, bridges, IPsec policies and details of addresses: records that mostly a trace
asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from netdash.model.records import dataclass
from netdash.model.rules import IP, Net


@dataclass(frozen=True, slots=True)
class Ends:
    """One direction of a connection, as conntrack keeps it."""

    src: IP | None
    sport: int | None
    dst: IP | None
    dport: int | None


@dataclass(frozen=True, slots=True)
class TrackedFlow:
    """An entry of conntrack."""

    proto: str  # tcp, udp, icmp …; the number of one without a name
    original: Ends
    reply: Ends  # as the answer comes: translated where the connection is
    replied: bool
    state: str  # of TCP: SYN_SENT, ESTABLISHED, TIME_WAIT …; "" of others
    seconds: int | None  # until it is forgotten; None of one that a flow table forwards
    assured: bool = False  # it is not given up where the table is full
    mark: int | None = None
    zones: tuple[int, int] = (0, 0)  # of the first direction, and of the answer
    icmp_id: int | None = None  # of an echo request
    counts: tuple[Counted, Counted] | None = None  # of both directions; None where nobody counts
    age: int | None = None  # seconds since it began; None where the kernel does not note that
    rate: float | None = None  # bytes a second, both directions; None where two readings do not tell it

    @property
    def packets(self) -> int | None:
        return None if self.counts is None else sum(one.packets for one in self.counts)

    @property
    def bytes(self) -> int | None:
        return None if self.counts is None else sum(one.bytes for one in self.counts)


@dataclass(frozen=True, slots=True)
class Counted:
    """What one direction of a connection carried."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tracking:
    """What netlink told of conntrack. `entries`: the attributes of each connection that is kept, and when it was seen
    to begin. `at`, and those times: seconds since the epoch. `dumped`: when all of them were read last."""

    entries: tuple[tuple[bytes, float | None], ...]
    at: float
    dumped: float
    left_out: int = 0  # connections beyond the number that is kept
    lost: int = 0  # times that the kernel told of more than could be taken

    PATH: ClassVar[str] = "host/conntrack"
    """Where a recording of a live host has it; a bundle has text."""


@dataclass(frozen=True, slots=True)
class IpsecPolicy:
    """Packets that IPsec wraps up, or drops."""

    direction: str  # in, out, fwd
    src: Net
    dst: Net
    blocks: bool


@dataclass(frozen=True, slots=True)
class AddressDetail:
    """What decides whether an address is taken as a source."""

    scope: str = "global"  # global site link host, or a number
    flags: frozenset[str] = frozenset()  # secondary deprecated tentative dadfailed temporary …


@dataclass(frozen=True, slots=True)
class PolicyRule:
    family: int
    priority: int
    text: str  # as `ip rule` prints it, without the priority
    table: str | None  # None for an action that is not a look-up
    selectors: tuple[tuple[str, str], ...]  # ("src", "10.0.0.0/8"), ("iif", "docker0"), ("fwmark", "0x1/0xff") …


@dataclass(frozen=True, slots=True)
class Neighbour:
    ip: IP
    dev: str
    mac: str | None
    state: str


@dataclass(frozen=True, slots=True)
class BridgePort:
    """What a bridge does with frames at one of its ports (`ip -d link`)."""

    state: str = "forwarding"  # disabled listening learning forwarding blocking
    learning: bool = True
    flood: bool = True  # frames for a MAC that the bridge does not know leave by it
    mcast_flood: bool = True
    bcast_flood: bool = True
    isolated: bool = False  # no frames to other isolated ports
    locked: bool = False  # frames only from MACs that the forwarding table has there


@dataclass(frozen=True, slots=True)
class BridgeSwitches:
    """Of a bridge itself. `nf_call_ip`, `nf_call_ip6`: bridged packets meet IP's rules on this one, whatever
    net.bridge says."""

    vlan_filtering: bool = False
    nf_call_ip: bool = False
    nf_call_ip6: bool = False


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """Where a bridge sends frames for a MAC."""

    mac: str
    port: str  # the bridge's own name: to this host
    fixed: bool  # set by somebody; False: learned from frames


@dataclass(frozen=True, slots=True)
class PortVlan:
    """A range of VLANs that a port of a bridge with a VLAN filter carries."""

    first: int
    last: int
    pvid: bool  # what comes in without a tag belongs to it
    untagged: bool  # what leaves has no tag


@dataclass(frozen=True, slots=True)
class Bridging:
    """What the bridges know beside their ports."""

    fdb: tuple[FdbEntry, ...] | None  # their forwarding tables
    vlans: Mapping[str, tuple[PortVlan, ...]] | None  # by port, or by the bridge's own name


@dataclass(frozen=True, slots=True)
class Resolver:
    """What /etc/resolv.conf says. `upstreams`: whom Docker's resolver at 127.0.0.11 asks, as Docker notes it there;
    None: not noted. Those that it asks from the host's network namespace are in `from_host`."""

    servers: tuple[IP, ...]
    upstreams: tuple[IP, ...] | None = None
    from_host: frozenset[IP] = frozenset()
