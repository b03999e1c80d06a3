"""The few addresses, ports and devices that random rules and packets are made of: few, so that they meet."""

from __future__ import annotations

from random import Random

from tests.fuzz.world import OWN, PEERS

HOST = {v: tuple(ip for ips, _ in OWN.values() for ip in ips if (":" in ip) == (v == 6)) for v in (4, 6)}
CONTAINERS = {v: tuple(peer.addresses[v == 6] for peer in PEERS if peer.container) for v in (4, 6)}
OUTSIDE = {4: ("203.0.113.1", "198.51.100.1", "192.0.2.1"), 6: ("2001:db8::1", "2001:db8:f::1", "2001:db8:9::1")}
NOBODY = {4: ("10.1.0.9", "198.51.100.9", "10.9.0.1"), 6: ("fd00:1::9", "2001:db8:f::9", "fd00:9::1")}
PREFIXES = {
    4: ("10.1.0.0/24", "10.2.0.0/24", "10.0.0.0/8", "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "10.1.0.2/31"),
    6: (
        "fd00:1::/64",
        "fd00:2::/64",
        "fd00::/16",
        "2001:db8::/64",
        "2001:db8:f::/64",
        "2001:db8::/32",
        "fd00:1::2/127",
    ),
}
PORTS = (80, 81, 443, 5000, 5001, 5003, 8080)
DEVICES = ("up0", "up1", "br0", "br1")
BRIDGE_PORTS = ("va", "vb", "vc", "vd")
MARKS = ("0x1", "0x2", "0x10", "0x21")
MASKED = ("0x1/0x1", "0x0/0x1", "0x10/0xf0", "0x2/0x3", "0x0/0xff")


def address(r: Random, v: int) -> str:
    kind = r.choices((CONTAINERS, HOST, OUTSIDE, NOBODY), (5, 3, 3, 1))[0]
    return r.choice(kind[v])


def addresses(r: Random, v: int, most: int = 3) -> list[str]:
    """Different ones."""
    return list(dict.fromkeys(address(r, v) for _ in range(r.randint(1, most))))


def net(r: Random, v: int) -> str:
    return r.choice(PREFIXES[v]) if r.random() < 0.5 else address(r, v)


def port(r: Random) -> int:
    return r.choice(PORTS)


def ports(r: Random, dash: str = "-") -> str:
    """One port or a range."""
    return (
        r.choice((f"80{dash}81", f"5000{dash}5003", f"1{dash}1023", f"443{dash}8080"))
        if r.random() < 0.3
        else str(port(r))
    )


def several_ports(r: Random, dash: str = "-") -> list[str]:
    """Single ports, and perhaps one range that holds none of them."""
    found = list(dict.fromkeys(str(r.choice((80, 81, 443, 8080))) for _ in range(r.randint(1, 3))))
    return [*found, f"5000{dash}5003"] if r.random() < 0.4 else found


def device(r: Random) -> str:
    return r.choice(DEVICES) if r.random() < 0.9 else r.choice((*BRIDGE_PORTS, "lo"))


def chance(r: Random, part: float) -> bool:
    return r.random() < part
