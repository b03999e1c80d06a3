"""The kernel's connections, neighbours, bridges, IPsec policies and details of addresses, records that mostly a
trace asks for; what devices and connections carry, read only while somebody looks at it; and what loses packets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import ClassVar

from netdash.model.records import dataclass
from netdash.model.rules import IP, Chain, Net, Rule


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
        return None if self.counts is None else sum(counted.packets for counted in self.counts)

    @property
    def bytes(self) -> int | None:
        return None if self.counts is None else sum(counted.bytes for counted in self.counts)


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


@dataclass(frozen=True, slots=True)
class Watched:
    """What somebody looks at. `devices`, `addresses`: all of one container, whose card is on screen; no devices where
    one of them is not known."""

    flows: bool = False  # all connections
    counters: bool = False  # of all devices
    devices: tuple[int, ...] = ()  # indexes of those whose counters are read where those of all are not
    addresses: tuple[IP, ...] = ()  # whose connections are read where not all are
    drops: bool = False  # the kernel's counters of lost packets
    container: str = ""  # id of the one whose own routes and rules are read

    def __or__(self, other: Watched) -> Watched:
        return Watched(
            self.flows or other.flows,
            self.counters or other.counters,
            self.devices or other.devices,
            self.addresses or other.addresses,
            self.drops or other.drops,
            self.container or other.container,
        )


NOTHING = Watched()


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """A device's counters since it was made (struct rtnl_link_stats64)."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int

    @property
    def lost(self) -> int:
        """Errors and drops of both directions."""
        return self.rx_errors + self.tx_errors + self.rx_dropped + self.tx_dropped


@dataclass(frozen=True, slots=True)
class LinkReading:
    """Counters by the device's index, and those of the reading before. `at`, `since`: seconds of a clock that nobody
    sets; None where there was none before."""

    at: float
    counts: Mapping[int, LinkCounts]
    since: float | None
    before: Mapping[int, LinkCounts]

    PATH: ClassVar[str] = "ip/link-counters"
    """Where a recording of a live host has it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What was received and sent in a second, between the last two readings; None where they do not tell it. `history`:
    bytes a second of both directions, the newest last. `lost`: errors and drops since the device was made."""

    rx_bytes: float | None = None
    tx_bytes: float | None = None
    rx_packets: float | None = None
    tx_packets: float | None = None
    lost: int | None = None
    history: tuple[float | None, ...] = ()

    @property
    def total(self) -> float | None:
        return added(self.rx_bytes, self.tx_bytes)

    @property
    def turned(self) -> Rate:
        """The same seen from the other end of a veth pair."""
        return Rate(self.tx_bytes, self.rx_bytes, self.tx_packets, self.rx_packets, self.lost, self.history)


def added(*numbers: float | None) -> float | None:
    """None where one of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None


def together(rates: Iterable[Rate]) -> Rate:
    """Of several devices; what is not known of one is not known of all."""
    found = list(rates)
    if len(found) == 1:
        return found[0]
    lost = added(*(rate.lost for rate in found))
    long = min((len(rate.history) for rate in found), default=0)
    histories = zip(*(rate.history[len(rate.history) - long :] for rate in found), strict=True)
    return Rate(
        added(*(rate.rx_bytes for rate in found)),
        added(*(rate.tx_bytes for rate in found)),
        added(*(rate.rx_packets for rate in found)),
        added(*(rate.tx_packets for rate in found)),
        None if lost is None else int(lost),
        tuple(added(*value) for value in histories),
    )


@dataclass(frozen=True, slots=True)
class UsedReading:
    """What netlink told of the connections of some addresses alone."""

    addresses: tuple[IP, ...]
    tracking: Tracking

    PATH: ClassVar[str] = "host/conntrack-of-one"
    """Where a recording of a live host has it."""


@dataclass(frozen=True, slots=True)
class Used:
    """The same as records. `more`: there are others."""

    addresses: tuple[IP, ...]
    flows: tuple[TrackedFlow, ...]
    more: bool


PROXY_SOCKETS = "host/proxy-sockets.txt"
"""Bundle path of the connected sockets of userland proxies, as `ss -HOtunpi` prints them."""


@dataclass(frozen=True, slots=True)
class ProxySocket:
    """One end of a connection that a userland proxy carries. `received`, `sent`: bytes, of which none waits in the
    kernel; None where some do or that is not told. `..._ago`: milliseconds since the last of them, or since the
    connection was there."""

    pid: int
    proto: str
    local: tuple[IP, int]
    peer: tuple[IP, int]
    received: int | None = None
    sent: int | None = None
    received_ago: int = 0
    sent_ago: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """`rates`: by the device's index. None: nobody looks."""

    rates: Mapping[int, Rate] | None = None
    used: Used | None = None  # of one container, where not all connections are read
    proxied: tuple[ProxySocket, ...] | None = None  # where connections are read


NOT_READ = Traffic()


class DropKind(StrEnum):
    RULE = "rule"
    POLICY = "policy"  # of a base chain
    ROUTING = "routing"
    IP = "ip"
    TCP = "tcp"
    UDP = "udp"
    CONNTRACK = "conntrack"
    LINK = "link"
    SOFTNET = "softnet"  # the queues of the processors
    UNREAD = "unread"  # counters that could not be read: what they lost is not known


@dataclass(frozen=True, slots=True)
class Counter:
    """`rate`: a second since the reading before; None in the first one, and where the counter began anew."""

    count: int
    rate: float | None = None


Counters = Mapping[tuple[str, str], Counter]
"""By device ("" for none) and name."""


@dataclass(frozen=True, slots=True)
class Drop:
    """`name`: the counter's, as the kernel or its tool calls it; "" of rules and policies. `count`: packets since the
    counter began; None where that is not known, `why` says why. `place`: the rule, or the chain of the policy."""

    kind: DropKind
    name: str
    count: int | None
    rate: float | None
    place: Rule | Chain | None = None
    device: str = ""
    why: str = ""

    @property
    def moving(self) -> bool:
        return bool(self.rate)
