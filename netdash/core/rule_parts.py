"""The parts that rules of every backend are made of, built once each: equal conditions are the same object, so a
10,000-rule host holds few of them and comparing is cheap. Reads no rule itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import summarize_address_range

from netdash.core.decode import address, subnet
from netdash.core.model import Match, Net, Target

_MANY = 65536  # conditions that are kept for reuse

_PROTOCOLS = {
    "0": "ip", "1": "icmp", "2": "igmp", "4": "ipencap", "6": "tcp", "17": "udp", "33": "dccp", "41": "ipv6",
    "47": "gre", "50": "esp", "51": "ah", "58": "ipv6-icmp", "89": "ospf", "103": "pim", "112": "vrrp",
    "132": "sctp", "136": "udplite", "icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp",
}  # fmt: skip
"""Numbers and other spellings -> the name in /etc/protocols."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a rule says, without its place and its counters."""

    text: str
    matches: tuple[Match, ...]
    target: Target
    comment: str | None = None
    not_understood: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()  # xt matches by name, as the rule names them
    target_name: str = ""  # of an xt target: DNAT, LOG …


def protocol(name: str) -> str:
    return _PROTOCOLS.get(name, name)


@lru_cache(maxsize=_MANY)
def name_match(key: str, name: str, negated: bool = False) -> Match:
    return Match(key, (name,), negated)


def protocol_match(key: str, name: str, negated: bool = False) -> Match:
    return name_match(key, protocol(name), negated)


@lru_cache(maxsize=_MANY)
def word_match(key: str, words: str, negated: bool = False) -> Match:
    """`words` are alternatives, divided by commas."""
    return Match(key, tuple(words.split(",")), negated)


def net_match(key: str, nets: str, negated: bool = False) -> Match | None:
    """`nets` as iptables and nft write them: A, A/len, A/mask, A-B, divided by commas. None: not addresses."""
    host = "/128" if ":" in nets else "/32"
    return _net_match(key, nets.removesuffix(host), negated)


@lru_cache(maxsize=_MANY)
def _net_match(key: str, nets: str, negated: bool) -> Match | None:
    found: list[Net] = []
    for text in nets.split(","):
        these = _nets(text)
        if not these:
            return None
        found += these
    return Match(key, tuple(found), negated)


def _nets(text: str) -> list[Net]:
    first, dash, last = text.partition("-")
    if not dash:
        net = subnet(text)
        return [net] if net else []
    low, high = address(first), address(last)
    try:
        return list(summarize_address_range(low, high)) if low and high else []
    except (TypeError, ValueError):
        return []


@lru_cache(maxsize=_MANY)
def port_match(key: str, ports: str, negated: bool = False) -> Match | None:
    """`ports`: N, N:M or N-M (either end may be left out with a colon), divided by commas. None: not ports."""
    found: list[tuple[int, int]] = []
    for text in ports.split(","):
        low, sep, high = text.replace("-", ":").partition(":")
        try:
            pair = (int(low or 0), int(high or 65535) if sep else int(low))
        except ValueError:
            return None
        if not 0 <= pair[0] <= pair[1] <= 65535:
            return None
        found.append(pair)
    return Match(key, tuple(found), negated)


@lru_cache(maxsize=_MANY)
def mark_match(key: str, text: str, negated: bool = False) -> Match | None:
    """`text`: VALUE or VALUE/MASK, decimal or 0x…; the value is written 0xVALUE, with /0xMASK when that is not full."""
    value, _, mask = text.partition("/")
    try:
        number, bits = int(value, 0), int(mask or "0xffffffff", 0)
    except ValueError:
        return None
    return Match(key, (f"{number:#x}" if bits == 0xFFFFFFFF else f"{number:#x}/{bits:#x}",), negated)


_PER = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}


def limit_match(rate: str, per: str, burst: str) -> Match:
    return Match("limit", (f"{rate}/{_PER.get(per, per)} burst {burst}",))


def tcp_flags_match(mask: frozenset[str], flags: frozenset[str], negated: bool) -> Match:
    """As sorted words, MASK/FLAGS: the tools order them differently."""
    return Match("tcp_flags", (f"{','.join(sorted(mask))}/{','.join(sorted(flags))}",), negated)
