"""What is asked of a trace and what it answers: frozen records; and who reaches what, told once for all that are
treated alike.

Computes nothing that needs a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from netdash.model.host import IP, Route, Rule
from netdash.model.packet import Packet
from netdash.model.records import dataclass, field, replace

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


@dataclass(frozen=True, slots=True)
class Sender:
    name: str  # "outside", "host", or the container's
    origin: Origin
    container: str | None = None  # its id


@dataclass(frozen=True, slots=True)
class Aim:
    """A port that may be asked for."""

    kind: str  # published, container, host
    proto: str
    ip: IP
    port: int
    container: str | None = None  # id of whom it leads to


@dataclass(frozen=True, slots=True)
class Reach:
    """`reaches` None: cannot be told. `why`: the first thing that stops the packet or its answer. `verdict`: of the
    packet that does not arrive; one that arrives and is not answered has the verdict of the first packet."""

    reaches: bool | None
    why: str
    rule: Rule | None = None  # the one that decides, where one does
    verdict: Verdict = Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Kind:
    """What distinguishes a sender or aim from others of its class: what sentences may name, and the rules that speak of
    it. In the same order for all of a class."""

    names: tuple[str, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """What holds for a whole class, as it was traced for one pair of it."""

    reach: Reach
    sender: int
    aim: int


@dataclass(frozen=True, slots=True)
class Alone:
    """Pairs of a sender and an aim that are not like others of their classes: mostly a container that asks itself."""

    pairs: tuple[tuple[int, int], ...]
    cell: Cell


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Numbers are places in `senders` and `aims`."""

    senders: tuple[Sender, ...]
    aims: tuple[Aim, ...]
    sender_classes: tuple[tuple[int, ...], ...]
    aim_classes: tuple[tuple[int, ...], ...]
    cells: tuple[tuple[Cell | None, ...], ...]  # by class of senders, then of aims; None where every pair is `alone`
    alone: tuple[Alone, ...]
    asking: tuple[Kind, ...]  # by sender
    asked: tuple[Kind, ...]  # by aim

    def said(self, cell: Cell, sender: int, aim: int) -> Reach:
        """What a cell says of this pair."""
        found = cell.reach
        if found.reaches or (cell.sender, cell.aim) == (sender, aim):
            return found
        theirs = (self.asking[cell.sender], self.asked[cell.aim])
        return _renamed(found, theirs, (self.asking[sender], self.asked[aim]))

    def by_aim(self) -> tuple[Mapping[int, Cell], ...]:
        """Of each aim, the cell of every sender that is alone there."""
        found: tuple[dict[int, Cell], ...] = tuple({} for _ in self.aims)
        for alone in self.alone:
            for sender, aim in alone.pairs:
                found[aim][sender] = alone.cell
        return found

    def rows(self) -> tuple[tuple[Reach, ...], ...]:
        """Every cell by itself, by sender, then by aim. Large hosts have millions."""
        alone = self.by_aim()
        of_sender = _places(self.sender_classes)
        of_aim = _places(self.aim_classes)
        rows = []
        for sender in range(len(self.senders)):
            row = []
            for aim in range(len(self.aims)):
                cell = alone[aim].get(sender) or self.cells[of_sender[sender]][of_aim[aim]]
                row += [self.said(cell, sender, aim)] if cell is not None else []
            rows.append(tuple(row))
        return tuple(rows)


def _places(classes: tuple[tuple[int, ...], ...]) -> dict[int, int]:
    return {member: at for at, members in enumerate(classes) for member in members}


_WORD = (
    r"(?:(?:ip6|inet|bridge|arp|netdev) )?[^\s/#]+/[^\s#]+ #[0-9]+|[0-9]+(?:\.[0-9]+){3}"
    r"|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*[0-9a-f]|[\w.-]*\w"
)
"""A rule's place, an address, a MAC, a name or a number."""


def _renamed(found: Reach, theirs: tuple[Kind, Kind], ours: tuple[Kind, Kind]) -> Reach:
    """What is said of one pair, said of another of the same classes."""
    rules = [
        pair for kind, other in zip(theirs, ours, strict=True) for pair in zip(kind.rules, other.rules, strict=True)
    ]
    names = {rule.place: twin.place for rule, twin in rules}
    for kind, other in zip(theirs, ours, strict=True):
        names |= dict(zip(kind.names, other.names, strict=True))
    why = re.sub(_WORD, lambda word: names.get(word[0], word[0]), found.why)
    rule = next((twin for rule, twin in rules if rule is found.rule), found.rule)
    return replace(found, why=why, rule=rule)
