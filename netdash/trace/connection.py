"""A connection: the packets that it begins with, and what conntrack keeps of it while they pass: state, marks and
what nat has bound.

Knows no host."""

from __future__ import annotations

from netdash.model.host import IP, TrackedFlow
from netdash.model.packet import Ends, Packet
from netdash.model.records import dataclass, field, replace
from netdash.trace.model import Question

NO_ZONE = (0, 0)
DESTINATION, SOURCE = "destination", "source"
Target = tuple[IP | None, int | None]
"""An address and a port; None: not known."""


def manipulated_at(hook: str) -> str:
    """What nat changes at a hook (HOOK2MANIP)."""
    return SOURCE if hook in ("postrouting", "input") else DESTINATION


@dataclass(slots=True)
class Connection:
    """`original` None: not tracked (yet). Lives from the first packet to the first answer."""

    original: Ends | None = None
    untracked: bool = False
    confirmed: bool = False  # its first packet has left, or came back by loopback
    answering: bool = False  # the packet at hand goes in the direction of the reply
    replied: bool = False  # the first answer has passed (IPS_SEEN_REPLY)
    assured: bool = False  # TCP: so has the packet after it (IPS_ASSURED)
    missed: bool = False  # conntrack did not see the answer as one
    mark: int | None = 0
    zone: tuple[int, int] = NO_ZONE  # by which each direction is known: of its packets, of the answers
    destination: Target | None = None  # what the destination became; None: it stayed
    source: Target | None = None
    masqueraded: str | None = None  # the device whose address MASQUERADE gave it
    bound: set[str] = field(default_factory=set)  # kinds of nat that were decided, also to leave it as it is

    @property
    def translates(self) -> bool:
        return self.destination is not None or self.source is not None

    @property
    def reply(self) -> Ends | None:
        """The tuple by which the answer is known."""
        if self.original is None:
            return None
        ends = self.original
        src, sport = self.destination or (ends.dst, ends.dport)
        dst, dport = self.source or (ends.src, ends.sport)
        return Ends(src, sport, dst, dport)

    def join(self, flow: TrackedFlow) -> None:
        """The packet belongs to a connection that conntrack knows: no rule of nat is asked (nf_nat_inet_fn)."""
        ends, back = flow.original, flow.reply
        self.original = ends
        self.destination = (back.src, back.sport) if (back.src, back.sport) != (ends.dst, ends.dport) else None
        self.source = (back.dst, back.dport) if (back.dst, back.dport) != (ends.src, ends.sport) else None
        self.bound = {DESTINATION, SOURCE}
        self.confirmed, self.replied = True, flow.replied

    def track(self, packet: Packet, loose: bool = True) -> Packet:
        """nf_conntrack_in: a packet that is not known opens a connection, also a later one of what was not tracked so
        far: it is the first of its own, and meets the rules of nat. `loose`: nf_conntrack_tcp_loose."""
        if self.untracked:
            return replace(packet, ctstate="UNTRACKED", ctdir="")
        if self.original is None and opens(packet, loose):
            self.original = Ends(packet.src, packet.sport, packet.dst, packet.dport)
            self.answering = self.replied = self.assured = False
        return self.shown(packet)

    def shown(self, packet: Packet) -> Packet:
        """The packet with what rules may ask of its connection."""
        if self.original is None or self.untracked or self._out_of_turn(packet):
            return replace(packet, ctstate="UNTRACKED" if self.untracked else "INVALID", ctdir="", connmark=None)
        status = {"DNAT"} if self.destination else set()
        status |= {"SNAT"} if self.source else set()
        status |= {"CONFIRMED"} if self.confirmed else set()
        status |= {"SEEN_REPLY", "SEEN-REPLY"} if self.answering or self.replied else set()
        status |= {"ASSURED"} if self.assured else set()
        return replace(
            packet,
            ctstate="ESTABLISHED" if self.answering or self.replied else "NEW",
            ctdir="REPLY" if self.answering else "ORIGINAL",
            ctstatus=frozenset(status),
            connmark=self.mark,
            original=self.original,
            reply=self.reply,
        )

    def _out_of_turn(self, packet: Packet) -> bool:
        """tcp_conntracks[]: after a SYN whose answer was not seen, whatever is no SYN is invalid."""
        return self.missed and not self.answering and packet.tcp_flags is not None and "syn" not in packet.tcp_flags

    def translate(self, packet: Packet, hook: str) -> Packet:
        """nf_nat_packet: what was bound is done to this packet, in the answer's direction the other way round."""
        if self.original is None or self.untracked:
            return packet
        kind = manipulated_at(hook)
        if not self.answering:
            found = self.destination if kind == DESTINATION else self.source
            return _changed(packet, kind, found) if found else packet
        if kind == DESTINATION and self.source:
            return _changed(packet, kind, (self.original.src, self.original.sport))
        if kind == SOURCE and self.destination:
            return _changed(packet, kind, (self.original.dst, self.original.dport))
        return packet

    def moved(self, hook: str, packet: Packet) -> str:
        """nf_nat_oif_changed: why the kernel drops a packet of what was masqueraded by another device; "" otherwise."""
        if hook != "postrouting" or self.answering or self.masqueraded in (None, packet.oif):
            return ""
        text = f"MASQUERADE gave the connection the address of {self.masqueraded}, and this packet of it leaves by"
        return f"{text} {packet.oif}: the kernel drops it and forgets the connection, and the next packet opens another"

    def bind(self, hook: str, target: Target | None, packet: Packet, masquerade: bool = False) -> None:
        """nf_nat_setup_info: decides this kind of nat for the connection's life."""
        kind = manipulated_at(hook)
        self.bound.add(kind)
        if masquerade:
            self.masqueraded = packet.oif
        now = (packet.dst, packet.dport) if kind == DESTINATION else (packet.src, packet.sport)
        if target is None or target == now:
            return
        if kind == DESTINATION:
            self.destination = target
        else:
            self.source = target


def opens(packet: Packet, loose: bool) -> bool:
    """Whether a connection may begin with this packet: none of ICMP with an answer, none of TCP with the answer to a
    SYN, with a later packet where nf_conntrack_tcp_loose is on (icmp_new, tcp_new)."""
    if packet.icmp is not None:
        return packet.icmp[0] in _ECHO_REQUESTS
    flags = packet.tcp_flags
    return flags is None or flags == {"syn"} or (loose and "syn" not in flags)


_ECHO_REQUESTS = (8, 128)


def _changed(packet: Packet, kind: str, target: Target) -> Packet:
    ip, port = target
    if kind == DESTINATION:
        return replace(packet, dst=ip, dport=port, dst_type=None)
    return replace(packet, src=ip, sport=port, src_type=None, ephemeral=packet.ephemeral if port is None else None)


EPHEMERAL = (32768, 60999)  # net.ipv4.ip_local_port_range as Linux starts with
_SYN = {4: (40, 120), 6: (60, 140)}  # bytes of a TCP packet without data: the headers, and all options that fit
_DATA = frozenset({"ack", "psh"})
_SMALL = (41, 300)  # bytes of a packet with a request or an answer of a line or two


def first_packet(question: Question, ephemeral: tuple[int, int], held: frozenset[int] = frozenset()) -> Packet:
    """`ephemeral`: where the sender's port lies when it is not told; it is none of `held`."""
    family = question.dst.version
    proto = "ipv6-icmp" if family == 6 and question.proto == "icmp" else question.proto
    ports = proto not in ("icmp", "ipv6-icmp")
    return Packet(
        family,
        proto,
        question.src,
        question.dst,
        question.sport if ports else None,
        question.dport if ports else None,
        ctstate="INVALID",
        mark=question.mark,
        ephemeral=ephemeral if ports and question.sport is None else None,
        held=held,
        tcp_flags=frozenset({"syn"}) if proto == "tcp" else None,
        icmp=None if ports else (8 if family == 4 else 128, 0),
        ctdir="",
        physdev_in="",
        physdev_out="",
        bridged=False,
        whole=True,
        length=_SYN[family] if proto == "tcp" else (question.size, question.size) if question.size else None,
        uid=question.uid,
    )


def answer_to(got: Packet) -> Packet:
    """What the receiver sends back. Its port may be one of the sender's that is not told."""
    return replace(
        got,
        src=got.dst,
        dst=got.src,
        sport=got.dport,
        dport=got.sport,
        iif=None,
        oif=None,
        mark=0,
        src_type=None,
        dst_type=None,
        tcp_flags=frozenset({"syn", "ack"}) if got.tcp_flags else None,
        icmp=(0 if got.family == 4 else 129, 0) if got.icmp else None,
        ctstate="INVALID",
        ctdir="",
        ephemeral=None,
        ephemeral_dport=got.ephemeral,
        uid=None,
    )


def with_data(packet: Packet) -> Packet:
    """The same packet later on the open connection, with a little data in it."""
    return replace(packet, tcp_flags=_DATA, length=_SMALL, ctstate="INVALID", ctdir="", iif=None, oif=None, mark=0)
