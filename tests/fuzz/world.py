"""The hosts of the game: this namespace is the container host, with two uplinks and two bridges of two containers.

a 10.1.0.2, b 10.1.0.3 -- br0 [ host: up0 203.0.113.2 ] -- [ out: 203.0.113.1, 198.51.100.1 ]
c 10.2.0.2, d 10.2.0.3 -- br1 [       up1 192.0.2.2   ] -- [ lan: 192.0.2.1 ]
"""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import dataclass
from ipaddress import ip_address

from tests.fuzz.frames import IP, Tuple, answer, frame, read, refusal
from tests.fuzz.namespaces import Namespace, in_own_namespace, run

LISTENING = (80, 8080, 5001)
"""Ports with a TCP and a UDP socket on every host of the game; on all others nobody listens."""
_ALL, _OUTGOING = 3, 4  # ETH_P_ALL, PACKET_OUTGOING


@dataclass(frozen=True, slots=True)
class Peer:
    """A host beside ours. `device` is our end of its cable, or the bridge's port."""

    name: str
    device: str
    bridge: str  # "" for an uplink
    addresses: tuple[str, str]  # IPv4, IPv6
    more: tuple[str, ...]  # further addresses, on its loopback
    mac: str

    @property
    def container(self) -> bool:
        return bool(self.bridge)


PEERS = (
    Peer("out", "up0", "", ("203.0.113.1", "2001:db8::1"), ("198.51.100.1", "2001:db8:f::1"), "02:00:00:00:00:01"),
    Peer("lan", "up1", "", ("192.0.2.1", "2001:db8:9::1"), (), "02:00:00:00:00:02"),
    Peer("a", "va", "br0", ("10.1.0.2", "fd00:1::2"), (), "02:00:00:00:00:0a"),
    Peer("b", "vb", "br0", ("10.1.0.3", "fd00:1::3"), (), "02:00:00:00:00:0b"),
    Peer("c", "vc", "br1", ("10.2.0.2", "fd00:2::2"), (), "02:00:00:00:00:0c"),
    Peer("d", "vd", "br1", ("10.2.0.3", "fd00:2::3"), (), "02:00:00:00:00:0d"),
)
BY_NAME = {peer.name: peer for peer in PEERS}
OWN = {  # device: addresses of the host, with MAC
    "up0": (("203.0.113.2", "203.0.113.3", "2001:db8::2"), "02:00:00:00:01:00"),
    "up1": (("192.0.2.2", "2001:db8:9::2"), "02:00:00:00:01:01"),
    "br0": (("10.1.0.1", "fd00:1::1"), "02:00:00:00:01:10"),
    "br1": (("10.2.0.1", "fd00:2::1"), "02:00:00:00:01:11"),
}
GATEWAYS = {"up0": ("203.0.113.1", "2001:db8::1"), "up1": ("192.0.2.1", "2001:db8:9::1")}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet that came to a peer: the first of a flow, or with `answer` the first back."""

    at: str
    packet: Tuple
    answer: bool = False


class World:
    """Sockets in every namespace, so that one process sends and receives for all."""

    def __init__(self, known: bool = True) -> None:
        """`known`: all know the MACs of all, and sockets listen; else they ask, as hosts do."""
        if not in_own_namespace():
            raise RuntimeError("this is not a namespace of one's own")
        self._spaces = {peer.name: Namespace() for peer in PEERS}
        self._servers: list[socket.socket] = []
        self._known = known
        self._build()
        self.wires = {peer.name: self._wire(peer) for peer in PEERS}
        if not known:
            return
        for space in self._spaces.values():
            with space.entered():
                self._serve()
        self._serve()

    def pid(self, name: str) -> int:
        return self._spaces[name].pid

    def entered(self, name: str) -> contextlib.AbstractContextManager[None]:
        return self._spaces[name].entered()

    def close(self) -> None:
        for one in (*self.wires.values(), *self._servers):
            one.close()
        for space in self._spaces.values():
            space.close()

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        lines = ["link set lo up"]
        lines += [f"link add {name} address {OWN[name][1]} type bridge" for name in ("br0", "br1")]
        for peer in PEERS:
            mac = OWN[peer.device][1] if peer.device in OWN else f"02:00:00:00:02:{peer.mac[-2:]}"
            end = f"peer name eth0 address {peer.mac} netns {self.pid(peer.name)}"
            lines.append(f"link add {peer.device} address {mac} type veth {end}")
            if peer.bridge:
                lines.append(f"link set {peer.device} master {peer.bridge}")
        run("ip", "-batch", "-", text="\n".join(lines))
        for space in self._spaces.values():
            with space.entered():
                _quiet()
        _quiet()
        run("ip", "-batch", "-", text=self._batch(_own_lines()))
        static = [f"fdb replace {p.mac} dev {p.device} master static" for p in PEERS if p.bridge]
        run("bridge", "-batch", "-", text="\n".join(static if self._known else ()))
        for peer in PEERS:
            self._spaces[peer.name].run("ip", "-batch", "-", text=self._batch(_peer_lines(peer)))

        if not self._known:
            self._beyond()

    def _beyond(self) -> None:
        """The machines outside pass on to each other what is theirs, and both have the addresses beyond. They drop what
        comes from private addresses or goes to them, and answers of others' addresses, where it answers nothing of
        their own."""
        out, lan = ("172.31.0.1", "198.51.100.7"), ("172.31.0.2", "198.51.100.1")
        ways = {
            "out": (*out, lan[0], ("192.0.2.0/24",), "203.0.113.0/24", "2001:db8::/64"),
            "lan": (*lan, out[0], ("203.0.113.0/24", "198.51.100.7"), "192.0.2.0/24", "2001:db8:9::/64"),
        }
        self._spaces["out"].run(*f"ip link add beyond type veth peer name beyond netns {self.pid('lan')}".split())
        for name, (own, more, other, nets, wire, wire6) in ways.items():
            lines = [f"addr add {own}/24 dev beyond", "link set beyond up", f"addr add {more}/32 dev lo"]
            lines += ["rule add iif eth0 lookup 50", *(f"route add {net} via {other} table 50" for net in nets)]
            self._spaces[name].run("ip", "-batch", "-", text="\n".join(lines))
            self._spaces[name].run("nft", "-f", "-", text=_FOREIGN.format(wire, wire6))
            with self._spaces[name].entered(), open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
                file.write("1")
        self._spaces["lan"].run("ip", "addr", "add", "2001:db8:f::1/128", "dev", "lo")

    def _batch(self, lines: list[str]) -> str:
        return "\n".join(line for line in lines if self._known or not line.startswith("neigh "))

    def _wire(self, peer: Peer) -> socket.socket:
        with self._spaces[peer.name].entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            wire.bind(("eth0", _ALL))
        wire.setblocking(False)
        return wire

    def _serve(self) -> None:
        for port in LISTENING:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                server = socket.socket(socket.AF_INET6, kind)
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.bind(("::", port))
                if kind == socket.SOCK_STREAM:
                    server.listen(16)
                server.setblocking(False)
                self._servers.append(server)

    # --- packets ------------------------------------------------------------------------------------------------------

    def send(self, sender: str, packet: Tuple, mark: int = 0) -> None:
        """`sender`: a peer, whose packet is put on its wire, or "host", which sends as a program does."""
        if sender == "host":
            _send_from_here(packet, mark)
        else:
            peer = BY_NAME[sender]
            self.wires[sender].send(frame(_next_mac(peer, packet.dst), _mac(peer.mac), packet))

    def received(self, wait: float = 0) -> tuple[list[Arrival], list[str]]:
        """What came to the peers since the last call, and refusals. `wait` in seconds for the
        first of them."""
        if wait:
            select.select(list(self.wires.values()), [], [], wait)
        arrived: list[Arrival] = []
        refused: list[str] = []
        for name, wire in self.wires.items():
            for data in _frames(wire):
                packet, back = read(data[14:]), answer(data[14:])
                no = refusal(data[14:])
                if packet or back:
                    arrived += [Arrival(name, one, one is back) for one in (packet, back) if one]
                elif no:
                    refused.append(no)
        self._empty_servers()
        return arrived, refused

    def _empty_servers(self) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                while True:
                    if server.type == socket.SOCK_STREAM:
                        server.accept()[0].close()
                    else:
                        server.recv(2048)


_FOREIGN = """
table inet foreign {{
  chain prerouting {{
    type filter hook prerouting priority 0; policy accept;
    ct state established accept
    iifname eth0 ip saddr 10.0.0.0/8 drop
    iifname eth0 ip daddr 10.0.0.0/8 drop
    iifname eth0 ip6 daddr fd00::/8 meta l4proto {{ tcp, udp }} drop
    iifname eth0 ip6 saddr fd00::/8 meta l4proto {{ tcp, udp }} drop
    iifname eth0 ip saddr != {0} th sport < 10000 drop
    iifname eth0 ip6 saddr != {1} th sport < 10000 drop
  }}
}}
"""


def _frames(wire: socket.socket) -> list[bytes]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            data, (_, _, kind, _, _) = wire.recvfrom(2048)
            if kind != _OUTGOING:
                found.append(data)
    return found


def _quiet() -> None:
    """No router solicitations, no address detection: nothing is on the wire but what is sent."""
    for key in ("all", "default"):
        for name, value in (("accept_ra", "0"), ("router_solicitations", "0"), ("accept_dad", "0")):
            with open(f"/proc/sys/net/ipv6/conf/{key}/{name}", "w", encoding="ascii") as file:
                file.write(value)


def _own_lines() -> list[str]:
    lines = []
    for device, (addresses, _) in OWN.items():
        lines += [_address(address, device) for address in addresses]
        lines.append(f"link set {device} up")
    for peer in PEERS:
        if peer.bridge:
            lines.append(f"link set {peer.device} up")
        side = peer.bridge or peer.device
        lines += [f"neigh replace {ip} lladdr {peer.mac} dev {side} nud permanent" for ip in peer.addresses]
    return lines


def _peer_lines(peer: Peer) -> list[str]:
    side = peer.bridge or peer.device
    gateways = _gateways(side)
    lines = ["link set lo up", "link set eth0 up"]
    lines += [_address(address, "eth0") for address in peer.addresses]
    lines += [f"addr add {address}/{128 if ':' in address else 32} dev lo" for address in peer.more]
    lines += [f"route add default via {gateway}" for gateway in gateways]
    lines += [f"neigh replace {ip} lladdr {OWN[side][1]} dev eth0 nud permanent" for ip in OWN[side][0]]
    for other in PEERS:
        if other.bridge and other.bridge == peer.bridge and other is not peer:
            lines += [f"neigh replace {ip} lladdr {other.mac} dev eth0 nud permanent" for ip in other.addresses]
    return lines


def _gateways(side: str) -> tuple[str, str]:
    addresses = OWN[side][0]
    return addresses[0], addresses[-1]


def _address(address: str, device: str) -> str:
    return f"addr add {address}/64 dev {device} nodad" if ":" in address else f"addr add {address}/24 dev {device}"


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _next_mac(peer: Peer, dst: IP) -> bytes:
    """Where the peer's own route leads: to a neighbour on its bridge, or to its gateway, which is our host."""
    for other in PEERS:
        if other.bridge and other.bridge == peer.bridge and str(dst) in other.addresses:
            return _mac(other.mac)
    return _mac(OWN[peer.bridge or peer.device][1])


def _send_from_here(packet: Tuple, mark: int) -> None:
    """As a program does: by a socket bound to the source where that is not the kernel's to choose, and to the port."""
    family = socket.AF_INET if packet.src.version == 4 else socket.AF_INET6
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}.get(packet.proto, socket.SOCK_RAW)
    number = {"icmp": socket.IPPROTO_ICMP, "ipv6-icmp": socket.IPPROTO_ICMPV6}.get(packet.proto, 0)
    with socket.socket(family, kind, number) as sender, contextlib.suppress(OSError):
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if mark:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        source = "" if packet.src.is_unspecified else str(packet.src)
        sender.bind((source, packet.sport if number == 0 else 0))
        if packet.proto == "tcp":
            sender.connect((str(packet.dst), packet.dport))
        elif packet.proto == "udp":
            sender.connect((str(packet.dst), packet.dport))
            sender.send(b"netdash")
        else:
            sender.sendto(_echo(packet), (str(packet.dst), 0))


def _echo(packet: Tuple) -> bytes:
    from tests.fuzz.frames import build

    return build(packet)[20 if packet.src.version == 4 else 40 :]


ANY = {4: ip_address("0.0.0.0"), 6: ip_address("::")}
