"""Random conditions of nft rules, as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.fuzz.pool import (
    BRIDGE_PORTS,
    DEVICES,
    MARKS,
    address,
    addresses,
    chance,
    net,
    port,
    ports,
    several_ports,
)

FIRST, LAST = 40000, 40040


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule stands: what it may ask there."""

    family: str  # ip ip6 inet bridge netdev
    hooks: tuple[str, ...]  # those that can lead here
    named: tuple[tuple[str, str], ...] = ()  # (name, type) of the table's sets

    def version(self, r: Random) -> int:
        if self.family in ("ip", "ip6"):
            return 4 if self.family == "ip" else 6
        return 4 if chance(r, 0.8) else 6

    @property
    def devices(self) -> tuple[str, ...]:
        return BRIDGE_PORTS if self.family == "bridge" else DEVICES


def conditions(r: Random, place: Place, least: int = 0, most: int = 3) -> str:
    """Conditions that do not contradict each other by version or protocol alone."""
    v = place.version(r)
    proto = r.choices(("tcp", "udp", "icmp", "th"), (5, 3, 2, 2))[0]
    count = r.choices(range(least, most + 1), [4, 6, 4, 2][least : most + 1])[0]
    kinds = [kind for kind in _KINDS if kind.fits(place)]
    found = [r.choices(kinds, [kind.weight for kind in kinds])[0].make(r, place, v, proto) for _ in range(count)]
    if place.family in ("bridge", "netdev") and any(" daddr" in one or " saddr" in one for one in found):
        found = [one for one in found if not one.startswith("ether type")]
    return " ".join(dict.fromkeys(found))


_Make = Callable[[Random, Place, int, str], str]


@dataclass(frozen=True, slots=True)
class _Kind:
    make: _Make
    weight: float
    families: str = "ip ip6 inet bridge netdev"
    hooks: str = "ingress prerouting input forward output postrouting"

    def fits(self, place: Place) -> bool:
        return place.family in self.families.split() and set(place.hooks) <= set(self.hooks.split())


def _negation(r: Random, part: float = 0.2) -> str:
    return "!= " if chance(r, part) else ""


def _word(v: int) -> str:
    return "ip" if v == 4 else "ip6"


_SPANS = ("10.1.0.1-10.1.0.2", "10.1.0.3-10.2.0.2", "198.51.100.0-203.0.113.1")


def _address(r: Random, place: Place, v: int, proto: str) -> str:
    side = r.choice(("saddr", "daddr"))
    named = [name for name, kind in place.named if kind == f"ipv{v}_addr"]
    if named and chance(r, 0.4):
        return f"{_word(v)} {side} {_negation(r)}@{r.choice(named)}"
    if chance(r, 0.3):
        return f"{_word(v)} {side} {_negation(r)}{{ {', '.join(addresses(r, v))} }}"
    if v == 4 and chance(r, 0.15):
        return f"ip {side} {_negation(r)}{r.choice(_SPANS)}"
    if v == 4 and chance(r, 0.1):
        return f"ip {side} & 255.255.0.255 {r.choice(('== 10.1.0.2', '!= 10.1.0.3', '== 10.2.0.3'))}"
    return f"{_word(v)} {side} {_negation(r)}{net(r, v)}"


def _port(r: Random, place: Place, v: int, proto: str) -> str:
    if proto == "icmp":
        return _icmp(r, place, v, proto)
    if chance(r, 0.1):
        return f"{proto} sport {_negation(r)}{FIRST}-{FIRST + r.randint(0, LAST - FIRST)}"
    named = [name for name, kind in place.named if kind == "inet_service"]
    if named and chance(r, 0.4):
        return f"{proto} dport {_negation(r)}@{r.choice(named)}"
    if chance(r, 0.4):
        return f"{proto} dport {_negation(r)}{{ {', '.join(several_ports(r))} }}"
    if chance(r, 0.15):
        return f"{proto} dport {r.choice(('<', '>', '<=', '>='))} {port(r)}"
    return f"{proto} dport {_negation(r)}{ports(r)}"


def _icmp(r: Random, place: Place, v: int, proto: str) -> str:
    kinds = r.choice(
        ("echo-request", "echo-reply", "{ echo-request, destination-unreachable }", "destination-unreachable")
    )
    return f"{'icmp' if v == 4 else 'icmpv6'} type {_negation(r)}{kinds}"


def _protocol(r: Random, place: Place, v: int, proto: str) -> str:
    names = r.choice(("tcp", "udp", "{ tcp, udp }", "icmp" if v == 4 else "ipv6-icmp"))
    if place.family in ("ip", "ip6") and chance(r, 0.4):
        return f"{'ip protocol' if v == 4 else 'ip6 nexthdr'} {_negation(r)}{names}"
    return f"meta l4proto {_negation(r)}{names}"


def _device(side: str) -> _Make:
    def make(r: Random, place: Place, v: int, proto: str) -> str:
        other = r.choice(("up0", "br*", "up*", "v*", "lo", "{ br0, up1 }", "{ up0, br1 }", "missing0"))
        if place.family == "bridge":
            other = r.choice(("va", "v*", "{ va, vc }", "br0", "missing0"))
        if chance(r, 0.4):
            return f"{side}name {_negation(r)}{other}"
        return f"{side}{r.choice(('', 'name'))} {_negation(r)}{r.choice(place.devices)}"

    return make


def _state(r: Random, place: Place, v: int, proto: str) -> str:
    words = (
        "new",
        "established",
        "established,related",
        "invalid",
        "{ new, established }",
        "untracked",
        "new,untracked",
    )
    return f"ct state {_negation(r)}{r.choice(words)}"


def _status(r: Random, place: Place, v: int, proto: str) -> str:
    return r.choice(
        (
            "ct status dnat",
            "ct status snat",
            "ct status & (dnat|snat) != 0",
            "ct status confirmed",
            "ct direction original",
        )
    )


def _original(r: Random, place: Place, v: int, proto: str) -> str:
    if chance(r, 0.4):
        return f"meta l4proto {{ tcp, udp }} ct original proto-dst {_negation(r)}{port(r)}"
    family = "ip" if v == 4 else "ip6"
    return f"ct original {family} {r.choice(('saddr', 'daddr'))} {_negation(r)}{net(r, v)}"


def _mark(r: Random, place: Place, v: int, proto: str) -> str:
    if chance(r, 0.3):
        mask, value = r.choice(("0xf", "0xf0", "0x1", "0xff")), r.choice(("0x0", "0x1", "0x10"))
        return f"meta mark & {mask} {r.choice(('==', '!='))} {value}"
    return f"meta mark {_negation(r)}{r.choice(('0x0', *MARKS, '{ 0x1, 0x2 }'))}"


def _connmark(r: Random, place: Place, v: int, proto: str) -> str:
    return f"ct mark {_negation(r)}{r.choice(('0x0', *MARKS))}" if chance(r, 0.7) else "ct mark & 0xf == 0x1"


def _fib(r: Random, place: Place, v: int, proto: str) -> str:
    coming = {"input", "prerouting"} & set(place.hooks)
    asked = r.choice(("daddr", "daddr", "saddr", *(("daddr . iif",) if coming else ())))
    return f"fib {asked} type {_negation(r)}{r.choice(('local', 'local', 'unicast', '{ local, broadcast }'))}"


def _reverse_path(r: Random, place: Place, v: int, proto: str) -> str:
    return r.choice(
        ("fib saddr . iif oif missing", "fib saddr oif exists", "fib daddr oif missing", "fib saddr . iif oif exists")
    )


def _concatenation(r: Random, place: Place, v: int, proto: str) -> str:
    word = _word(v)
    l4 = "th" if proto in ("icmp", "th") else proto
    named = [name for name, kind in place.named if kind == f"ipv{v}_addr . inet_service"]
    if named and chance(r, 0.5):
        return f"{word} daddr . {l4} dport {_negation(r)}@{r.choice(named)}"
    if chance(r, 0.3):
        return f"meta l4proto . th dport {_negation(r)}{{ tcp . {port(r)}, udp . {ports(r)} }}"
    if chance(r, 0.3):
        pairs = {f"{d} . {address(r, v)}" for d in r.sample(place.devices, 2)}
        return f"iifname . {word} saddr {_negation(r)}{{ {', '.join(sorted(pairs))} }}"
    pairs = {f"{one} . {port(r)}" for one in addresses(r, v)}
    return f"{word} daddr . {l4} dport {_negation(r)}{{ {', '.join(sorted(pairs))} }}"


def _flags(r: Random, place: Place, v: int, proto: str) -> str:
    return r.choice(
        (
            "tcp flags syn",
            "tcp flags & (syn|ack) == syn",
            "tcp flags & (fin|syn|rst|ack) != syn",
            "tcp flags & rst == rst",
            "tcp flags syn / syn,ack,rst,fin",
            "tcp flags != syn",
        )
    )


def _other(r: Random, place: Place, v: int, proto: str) -> str:
    return r.choice(
        (
            f"meta nfproto ipv{v}" if place.family == "inet" else "meta l4proto != 6",
            "meta pkttype host",
            "meta pkttype != unicast",
            "ip frag-off & 0x1fff != 0" if v == 4 else "meta l4proto != 17",
            "meta l4proto != 6",
        )
    )


def _uncertain(r: Random, place: Place, v: int, proto: str) -> str:
    """What a question does not say of the packet."""
    word = _word(v)
    asked = (f"{word} dscp cs0", f"{word} {'ttl' if v == 4 else 'hoplimit'} > 10", f"{word} length < 1000")
    more = ("meta priority 0:0", "meta cpu 0-63", "meta length > 20", "meta length > 2000", f"{word} version {v}")
    return r.choice(
        (*asked, *more, "limit rate 1000/second", "limit rate over 10000/second", "numgen random mod 2 == 0")
    )


def _ethernet(r: Random, place: Place, v: int, proto: str) -> str:
    return r.choice(("ether type ip", "ether type ip6", "ether type arp", "ether saddr 02:00:00:00:00:0a"))


_LAYER3 = "ip ip6 inet"
_IN = "prerouting input forward"
_OUT = "forward output postrouting"
_KINDS = (
    _Kind(_address, 6),
    _Kind(_port, 6),
    _Kind(_protocol, 2),
    _Kind(_device("iif"), 2, "ip ip6 inet bridge", _IN),
    _Kind(_device("oif"), 2, "ip ip6 inet bridge", _OUT),
    _Kind(_state, 1.5, _LAYER3),
    _Kind(_status, 0.7, _LAYER3),
    _Kind(_original, 0.6, "inet ip ip6"),
    _Kind(_mark, 1.6),
    _Kind(_connmark, 0.7, _LAYER3),
    _Kind(_fib, 1.2, _LAYER3, "prerouting input forward output postrouting"),
    _Kind(_reverse_path, 0.5, _LAYER3, "prerouting"),
    _Kind(_concatenation, 1.5, "ip ip6 inet bridge", _IN),
    _Kind(_flags, 0.8),
    _Kind(_other, 0.8, _LAYER3),
    _Kind(_uncertain, 0.05, _LAYER3),
    _Kind(_ethernet, 1, "bridge netdev"),
)
