"""The packets of one exchange: the first, its answer, and of TCP those that carry data. Knows no host."""

from __future__ import annotations

from netdash.model.packet import Packet
from netdash.model.records import replace
from netdash.trace.model import Question

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
