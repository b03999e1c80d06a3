"""A seed -> a scenario and the packets to try on it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from random import Random

from tests.fuzz.frames import IP, Tuple
from tests.fuzz.make_nft import nft
from tests.fuzz.make_scenery import scenery
from tests.fuzz.make_xt import xtables
from tests.fuzz.oracle import FIRST_PORT
from tests.fuzz.pool import CONTAINERS, HOST, NOBODY, OUTSIDE, chance, port
from tests.fuzz.scenario import Lines
from tests.fuzz.world import ANY, BY_NAME, OWN, PEERS


@dataclass(frozen=True, slots=True)
class Probe:
    """A packet to be sent. `sender`: a peer's name, or "host"; then an unspecified source is the kernel's choice."""

    sender: str
    packet: Tuple
    mark: int = 0


_KINDS = {
    "nft": 8,
    "iptables": 6,
    "iptables-legacy": 3,
    "nft iptables": 3,
    "iptables nft": 3,
    "iptables iptables-legacy": 2,
    "nft iptables-legacy": 1,
    "iptables ip6tables nft": 1,
}


def scenario(seed: int) -> Lines:
    """Rules of one kind or of several, in the order in which they are put in."""
    r = Random(f"scenario {seed}")
    kinds = r.choices(tuple(_KINDS), tuple(_KINDS.values()))[0].split()
    found = scenery(r)
    for kind in kinds:
        found += nft(r) if kind == "nft" else xtables(r, kind)
    return found


def probes(seed: int, count: int) -> list[Probe]:
    r = Random(f"packets {seed}")
    return [_probe(r, FIRST_PORT + at) for at in range(count)]


def _probe(r: Random, sport: int) -> Probe:
    v = 4 if chance(r, 0.85) else 6
    sender = r.choices(("host", *(peer.name for peer in PEERS)), (4, 5, 3, 4, 2, 2, 1))[0]
    proto = r.choices(("tcp", "udp", "icmp" if v == 4 else "ipv6-icmp"), (5, 3, 2))[0]
    dport = 0 if proto.endswith("icmp") else port(r)
    source = _source(r, sender, v)
    target = _target(r, sender, v)
    packet = Tuple(proto, source, ip_address(target), sport, dport)
    mark = int(r.choice(("0x1", "0x2", "0x10")), 0) if sender == "host" and chance(r, 0.15) else 0
    return Probe(sender, packet, mark)


def _source(r: Random, sender: str, v: int) -> IP:
    if sender == "host":
        return ip_address(r.choice(HOST[v])) if chance(r, 0.2) else ANY[v]
    peer = BY_NAME[sender]
    if chance(r, 0.05):  # a source that is not its own
        return ip_address(
            r.choice((*NOBODY[v], *CONTAINERS[v], *OUTSIDE[v], *HOST[v][:1], *(("127.0.0.1",) if v == 4 else ())))
        )
    own = [text for text in (*peer.addresses, *peer.more) if (":" in text) == (v == 6)]
    return ip_address(r.choice(own))


def _target(r: Random, sender: str, v: int) -> str:
    while True:
        kind = r.choices((CONTAINERS, HOST, OUTSIDE, NOBODY), (5, 5, 4, 0.6))[0]
        found = r.choice(kind[v])
        if v == 4 and chance(r, 0.02):
            found = r.choice(("127.0.0.1", "10.7.0.1", "10.1.0.255"))
        if sender == "host" or _needs_a_router(sender, found):
            return found


def _needs_a_router(sender: str, address: str) -> bool:
    """Or is a neighbour's: what a host would look for on its own wire in vain, it does not send."""
    peer = BY_NAME[sender]
    if address in peer.addresses + peer.more or (peer.container and address == "127.0.0.1"):
        return False
    beside = any(
        ip_address(address) in ip_interface(f"{own}/{64 if ':' in own else 24}").network for own in peer.addresses
    )
    known = {ip for other in PEERS if other.bridge == peer.bridge and peer.bridge for ip in other.addresses}
    return not beside or address in known or address in OWN[peer.bridge or peer.device][0]
