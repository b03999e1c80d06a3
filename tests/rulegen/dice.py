"""Random values that rules are made of: addresses, ports, devices, marks, words."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network, summarize_address_range
from random import Random
from typing import Any, TypeVar

from netdash.model.host import IP, Net

One = TypeVar("One")
DEVICES = ("eth0", "docker0", "br-0123456789ab", "lo", "veth1a2b3c4", "tailscale0", "wg-x.1", "a_b", "cni0@x")
PREFIXES = ("veth", "br-", "e")
WORDS = ("web", "a b", 'say "x"', "[UFW BLOCK] ", "-j DROP", "! -s", "it's", "back\\slash", "ünï", "x" * 20, "--name")


class Dice:
    """A seeded source of choices; `v6` tells which addresses it draws."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.v6 = False
        self.wide = False  # a table of both IP versions

    def pick(self, choices: Sequence[One]) -> One:
        return self.random.choice(choices)

    def some(self, choices: Sequence[One], least: int = 1, most: int = 3) -> list[One]:
        return self.random.sample(choices, min(len(choices), self.random.randint(least, most)))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def number(self, low: int, high: int) -> int:
        edge = self.random.random()
        return low if edge < 0.05 else high if edge > 0.95 else self.random.randint(low, high)

    # --- addresses ----------------------------------------------------------------------------------------------------

    def address(self) -> IP:
        if self.v6:
            return IPv6Address((0xFD00 << 112) | self.random.getrandbits(24))
        return IPv4Address((10 << 24) | self.random.getrandbits(24))

    def net(self) -> Net:
        if self.chance(0.5):
            return ip_network(self.address())
        prefix = self.random.randint(17, 127) if self.v6 else self.random.randint(8, 31)
        return ip_network(f"{self.address()}/{prefix}", strict=False)

    def nets(self, most: int = 4) -> list[Net]:
        """Nets of which none is in another."""
        found: list[Net] = []
        for _ in range(self.random.randint(1, most)):
            one: Any = self.net()
            if not any(one.overlaps(other) for other in found):
                found.append(one)
        return found

    def span(self) -> tuple[IP, IP, tuple[Net, ...]]:
        """(first, last, the nets between) of a range."""
        low = self.address()
        high = type(low)(int(low) + self.random.randint(1, 3000))
        return low, high, tuple(summarize_address_range(low, high))

    # --- numbers ------------------------------------------------------------------------------------------------------

    def port(self) -> int:
        return self.pick((22, 53, 80, 443, 8080, 65535, self.random.randint(1, 65535)))

    def ports(self) -> tuple[int, int]:
        low = self.port()
        return (low, low) if self.chance(0.6) or low == 65535 else (low, self.random.randint(low + 1, 65535))

    def port_list(self, most: int = 5) -> list[tuple[int, int]]:
        """Spans of ports that do not touch, in order."""
        ends = sorted(self.random.sample(range(1, 20000), 2 * self.random.randint(1, most)))
        spans = [(low * 3, high * 3) for low, high in zip(ends[::2], ends[1::2], strict=True)]
        return [(low, low) if self.chance(0.6) else (low, high) for low, high in spans]

    def mark(self) -> int:
        return self.pick((0, 1, 0x2000, 0x4000, 0xFFFFFFFF, self.random.getrandbits(32), self.random.getrandbits(8)))

    def mask(self) -> int:
        return self.pick((0xFF, 0x4000, 0xFFFF0000, 0xF, 1 + self.random.getrandbits(31)))

    # --- words --------------------------------------------------------------------------------------------------------

    def device(self) -> str:
        return self.pick(DEVICES)

    def word(self) -> str:
        return self.pick(WORDS)

    def name(self) -> str:
        return self.pick(("ssh", "web", "a_b", "LIMIT"))
