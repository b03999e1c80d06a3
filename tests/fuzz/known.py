"""Situations whose end is known without netdash: they judge the oracle itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from tests.fuzz.frames import Tuple
from tests.fuzz.make import Probe
from tests.fuzz.play import play
from tests.fuzz.scenario import Line

_BASE = ("sysctl: ipv4/ip_forward 1", "ip: route add default via 203.0.113.1 dev up0")


@dataclass(frozen=True, slots=True)
class Known:
    """`probe`: sender, protocol, source, destination and port. `steps` as the oracle prints them."""

    lines: tuple[str, ...]
    probe: tuple[str, str, str, str, int]
    end: str
    at: str = ""
    packet: str = ""
    steps: tuple[str, ...] = ()
    answer: str = ""  # how its answer ends


_NAT = (
    "iptables: nat -A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80",
    "iptables: nat -A POSTROUTING -o br0 -j MASQUERADE",
)
_DROP = "nft: add rule inet t f ip daddr 10.1.0.2 drop"
_CHAIN = ("nft: add table inet t", "nft: add chain inet t f { type filter hook forward priority 0; policy accept; }")
SITUATIONS = {
    "routed": Known((), ("a", "tcp", "10.1.0.2", "198.51.100.1", 80), "received", "out", answer="received"),
    "bridged": Known((), ("a", "udp", "10.1.0.2", "10.1.0.3", 53), "received", "b"),
    "to the host": Known((), ("out", "tcp", "203.0.113.1", "203.0.113.2", 80), "delivered", answer="received"),
    "from the host": Known((), ("host", "tcp", "0.0.0.0", "203.0.113.1", 80), "received", "out", answer="delivered"),
    "no forwarding": Known(
        ("sysctl: ipv4/conf/up0/forwarding 0",), ("out", "udp", "203.0.113.1", "10.1.0.2", 80), "lost"
    ),
    "no route": Known(("ip: route add blackhole 198.51.100.7",), ("a", "tcp", "10.1.0.2", "198.51.100.7", 80), "lost"),
    "nobody there": Known((), ("out", "udp", "203.0.113.1", "10.1.0.9", 80), "gone"),
    "dropped": Known((*_CHAIN, _DROP), ("out", "tcp", "203.0.113.1", "10.1.0.2", 80), "dropped", steps=("inet t/f 1",)),
    "translated": Known(
        _NAT,
        ("out", "tcp", "203.0.113.1", "203.0.113.2", 8080),
        "received",
        "a",
        "tcp 10.1.0.1:40000 > 10.1.0.2:80",
        ("ip nat/PREROUTING 1", "ip nat/POSTROUTING 1"),
        "received",
    ),
    "legacy drop": Known(
        ("iptables-legacy: filter -A FORWARD -p udp -j DROP",),
        ("out", "udp", "203.0.113.1", "10.1.0.2", 80),
        "dropped",
        steps=("legacy ip filter/FORWARD 1",),
    ),
    "legacy before nft": Known(
        ("iptables-legacy: mangle -A FORWARD -p tcp", *_CHAIN),
        ("out", "tcp", "203.0.113.1", "10.1.0.2", 80),
        "received",
        "a",
        steps=(
            "legacy ip mangle/PREROUTING policy",
            "legacy ip mangle/FORWARD 1",
            "legacy ip mangle/FORWARD policy",
            "inet t/f policy",
            "legacy ip mangle/POSTROUTING policy",
        ),
        answer="received",
    ),
}


def wrong() -> list[str]:
    """What the oracle does not see as it is: a line each."""
    return [f"{name}: {said}" for name, known in SITUATIONS.items() for said in _wrong(known)]


def _wrong(known: Known) -> list[str]:
    sender, proto, src, dst, port = known.probe
    probe = Probe(sender, Tuple(proto, ip_address(src), ip_address(dst), 40000, port))
    lines = tuple(Line(*line.split(": ", 1)) for line in (*_BASE, *known.lines))
    fate = play(lines, [probe]).rounds[0].fate
    seen = {
        "end": (fate.end, known.end),
        "at": (fate.at, known.at),
        "packet": (str(fate.packet), known.packet or str(fate.packet)),
        "steps": (tuple(map(str, fate.steps)), known.steps),
        "answer": (fate.answer.end if fate.answer else "", known.answer),
    }
    return [f"{what} {is_!r}, not {should!r}" for what, (is_, should) in seen.items() if is_ != should]
