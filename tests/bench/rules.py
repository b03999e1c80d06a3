"""How long a host's rules take: asked of the tools, and joined, for 1,000 and 10,000 rules as Docker writes them.
Needs root; loads them in a network namespace of its own."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from tests.rulegen.namespace import Namespace

BRIDGE = "br-0123456789ab"
RUNS = 5


def _address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def for_iptables(count: int) -> str:
    """Docker 28's rules of count/4 published ports."""
    hosts = [(number, _address(number)) for number in range(1, count // 4 + 1)]
    to_port = "-p tcp -m tcp --dport"
    return "\n".join(
        [
            "*raw",
            *(f"-A PREROUTING -d {ip}/32 ! -i {BRIDGE} -j DROP" for _, ip in hosts),
            *("COMMIT", "*filter", ":DOCKER - [0:0]", "-A FORWARD -j DOCKER"),
            *(f"-A DOCKER -d {ip}/32 ! -i {BRIDGE} -o {BRIDGE} {to_port} 80 -j ACCEPT" for _, ip in hosts),
            *("COMMIT", "*nat", ":DOCKER - [0:0]", "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"),
            *(f"-A DOCKER ! -i {BRIDGE} {to_port} {9999 + at} -j DNAT --to-destination {ip}:80" for at, ip in hosts),
            *(f"-A POSTROUTING -s {ip}/32 -d {ip}/32 {to_port} 80 -j MASQUERADE" for _, ip in hosts),
            *("COMMIT", ""),
        ]
    )


def for_nft(count: int) -> str:
    """Docker 29's rules of count/3 published ports, with its nftables backend."""
    hosts = [(number, _address(number)) for number in range(1, count // 3 + 1)]
    return "\n".join(
        [
            *("table ip docker-bridges {", "chain f {", "type filter hook forward priority 0"),
            *(f'ip daddr {ip} tcp dport 80 counter accept comment "{at}"' for at, ip in hosts),
            *("}", "chain n {", "type nat hook prerouting priority -100"),
            *(f'iifname != "{BRIDGE}" tcp dport {9999 + at} counter dnat to {ip}:80' for at, ip in hosts),
            *("}", "chain r {", "type filter hook prerouting priority -300"),
            *(f'ip daddr {ip} iifname != "{BRIDGE}" counter drop' for _, ip in hosts),
            *("}", "}", ""),
        ]
    )


def main() -> None:
    with Namespace() as space:
        for count in (1000, 10000):
            for tool, text in (("iptables-nft-restore", for_iptables(count)), ("nft", for_nft(count))):
                space.flush()
                complaint = space.refused(tool, *(("-f", "-") if tool == "nft" else ()), text=text)
                if complaint:
                    sys.exit(complaint)
                print(f"{tool.removesuffix('-restore'):13} {count:6} rules: {_measured(space)}")


def _measured(space: Namespace) -> str:
    """The best and the median of a few runs, each with nothing kept from the one before but compiled conditions."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        answers, _failures = space.reader().read()
        asked = time.perf_counter()
        Builder().build(Recording(answers=dict(answers)))
        joined = time.perf_counter()
        times.append((joined - start, asked - start, joined - asked))
    times.sort()
    best, middle = times[0], times[RUNS // 2]
    parts = [
        f"{whole * 1000:.0f} ms ({tools * 1000:.0f} tools, {join * 1000:.0f} join)"
        for whole, tools, join in (best, middle)
    ]
    return f"best {parts[0]}, median {parts[1]}"


if __name__ == "__main__":
    main()
