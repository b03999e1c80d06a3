"""What is asked of a trace and what it answers: frozen records. Computes nothing that needs a host."""

from __future__ import annotations

from enum import Enum

from netdash.model.host import IP, Route, Rule
from netdash.model.packet import Packet
from netdash.model.records import dataclass, field

UNREAD = "not read"
"""The place of a decision that hangs on what was not read."""


class Origin(Enum):
    """Whose process sends the packet."""

    HOST = "host"
    CONTAINER = "container"
    OUTSIDE = "outside"  # another machine: the packet comes in by a device


@dataclass(frozen=True, slots=True)
class Question:
    """One packet that opens a flow. `src` None: the address that the sender's own routes choose."""

    origin: Origin
    dst: IP
    proto: str = "tcp"  # tcp, udp, icmp (also of IPv6: ipv6-icmp) or any other protocol's name
    dport: int | None = None
    sport: int | None = None  # None: an ephemeral port
    src: IP | None = None
    iif: str | None = None  # the device of this host that it comes in by; of origin OUTSIDE, None: as the routes lead
    mark: int = 0  # of the sending socket, or of the packet as it comes in
    container: str | None = None  # id of the sender, of origin CONTAINER
    uid: int | None = None  # of the sending socket; None: not told
    size: int | None = None  # bytes of the IP packet and of its answer, of udp and icmp; None: a few


class Verdict(Enum):
    """How the way of a packet ends. The first three arrive."""

    DELIVERED = "delivered"  # to a socket; of icmp, to the receiver's kernel
    FORWARDED = "forwarded out"  # leaves this host by one of its devices for another machine
    PROXY = "answered by docker-proxy"
    DROPPED = "dropped"
    REJECTED = "rejected"
    NO_ROUTE = "no route"
    NO_LISTENER = "no listener"
    MARTIAN = "martian"
    UNKNOWN = "unknown"

    @property
    def arrives(self) -> bool:
        return self in (Verdict.DELIVERED, Verdict.FORWARDED, Verdict.PROXY)


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that matched, or the policy of a base chain that was used, as the kernel's own trace reports them."""

    hook: str  # ingress prerouting input forward output postrouting egress
    family: str  # of the chain: ip ip6 inet bridge netdev
    table: str
    chain: str
    rule: int | None  # 1-based position in its chain; None: the chain's policy
    text: str  # the rule's, or "policy accept"
    verdict: str  # accept drop continue return jump goto queue; a rule that translates says accept, as the kernel does
    packet: Packet  # as it came to this rule
    to: str | None = None  # the chain of a jump or goto
    sure: bool = True  # False: whether it matches cannot be told; the walk goes on as if it did not
    backend: str = "nft"  # of the chain; nft's own trace does not see those of iptables-legacy
    source: Rule | None = field(default=None, repr=False)
    inside: str = ""  # the container whose rule it is; "" of this host's
    translates: bool = False  # it changed an address or a port

    @property
    def place(self) -> str:
        """table/CHAIN #n, or table/CHAIN policy, with the family where it is not IPv4."""
        prefix = "" if self.family == "ip" else f"{self.family} "
        where = f"{self.inside}: " if self.inside else ""
        return f"{where}{prefix}{self.table}/{self.chain} {'policy' if self.rule is None else f'#{self.rule}'}"


@dataclass(frozen=True, slots=True)
class Routed:
    """A routing decision: by which route, device and next hop the packet goes on."""

    route: Route
    device: str
    gateway: IP | None
    dst: IP  # the destination that was looked up


@dataclass(frozen=True, slots=True)
class Hop:
    """One place on the way, with the rules that were met there."""

    place: str  # a hook, "route", "web", "bridge docker0" …
    text: str  # what happened there beside the rules; "" for nothing
    packet: Packet  # as it came here
    steps: tuple[Step, ...] = ()
    hook: str = ""  # of IP: prerouting input forward output postrouting
    routed: Routed | None = None  # the last routing decision there
    inside: str = ""  # the container in whose namespace it is; "" of this host's


@dataclass(frozen=True, slots=True)
class Decision:
    """What ended the way: a rule or policy (`step`), or the kernel itself for the reason in `text`."""

    place: str
    text: str
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Tuple4:
    """Addresses and ports of a packet; None where it has none or they cannot be told."""

    src: IP | None
    sport: int | None
    dst: IP | None
    dport: int | None


@dataclass(frozen=True, slots=True)
class End:
    """One of the ends that cannot be told apart: what was supposed of the rules, and how the way ends then."""

    supposed: tuple[tuple[str, bool], ...]  # (rule's place or what was asked, whether it matches or happens)
    verdict: Verdict
    decided_by: Decision | None
    translation: Tuple4


@dataclass(frozen=True, slots=True)
class Reply:
    """The way back of the first answer."""

    hops: tuple[Hop, ...]
    verdict: Verdict
    decided_by: Decision | None
    unsure: tuple[Rule, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for hop in self.hops for step in hop.steps)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Whether the asker gets its answer. `answered` None: it cannot be told, or hangs on others' networks."""

    answered: bool | None
    why: Decision | None = None  # what the answer, or a later packet of the connection, lacks; None where nothing
    stuck: Reply | None = None  # the way of the later packet that does not arrive
    packet: str = ""  # which one that is: "the packet that follows the handshake" …


@dataclass(frozen=True, slots=True)
class Trace:
    """The answer. With verdict UNKNOWN, `unsure` names the rules that it hangs on and `ends` tells two of the ends."""

    question: Question
    packet: Packet  # as the sender sends it
    hops: tuple[Hop, ...]
    verdict: Verdict
    decided_by: Decision | None
    translation: Tuple4  # the packet at its end; of a conntrack entry, its reply tuple turned round
    blockers: tuple[Decision, ...] = ()  # what would still stop it, were `decided_by` mended
    then: Trace | None = None  # the userland proxy's own connection to the container
    reply: Reply | None = None  # None: no answer is to be expected
    unsure: tuple[Rule, ...] = ()  # rules that may match and cannot be told, with or without a bearing on the verdict
    ends: tuple[End, ...] = ()
    assumed: tuple[str, ...] = ()  # sentences: what was not read and taken as the engine sets it up, and other remarks
    exchange: Exchange = Exchange(None)
    receiver: str | None = None  # id of the container whose namespace took it
    proxy: str = ""  # the command of the userland proxy that took it

    @property
    def outcome(self) -> str:
        """The verdict in words, with the proxy's own name."""
        return f"answered by {self.proxy}" if self.proxy else self.verdict.value

    @property
    def answered(self) -> bool | None:
        """Whether the asker gets its answer: ✓, exit code 0."""
        return self.exchange.answered

    @property
    def steps(self) -> tuple[Step, ...]:
        """In the kernel's order: every rule that matched and every policy that was used."""
        return tuple(step for hop in self.hops for step in hop.steps)
