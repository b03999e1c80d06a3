"""The parts that rules of every backend are made of, built once each: equal conditions are the same object, so a
10,000-rule host holds few of them and comparing is cheap. Reads no rule itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import summarize_address_range

from netdash.model.addresses import address, subnet
from netdash.model.host import Match, Net, Target
from netdash.model.memory import kept
from netdash.rules.names import dscp, icmp_type, number, protocol


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


@kept
def name_match(key: str, name: str, negated: bool = False) -> Match:
    return Match(key, (name,), negated)


def protocol_match(key: str, name: str, negated: bool = False) -> Match:
    return word_match(key, protocol(name), negated)


@kept
def word_match(key: str, words: str, negated: bool = False) -> Match:
    """`words` are alternatives, divided by commas."""
    return Match(key, tuple(words.split(",")), negated)


def net_match(key: str, nets: str, negated: bool = False) -> Match | None:
    """`nets` as iptables and nft write them: A, A/len, A/mask, A-B, divided by commas. None: not addresses."""
    host = "/128" if ":" in nets else "/32"
    return _net_match(key, nets.removesuffix(host), negated)


@kept
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


@kept
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


@kept
def mark_match(key: str, texts: str, negated: bool = False) -> Match | None:
    """`texts`: V, V/MASK or LOW-HIGH, decimal or 0x…, divided by commas; written as Match tells. None: not marks."""
    found = [_mark(text) for text in texts.split(",")]
    return None if None in found else Match(key, tuple(found), negated)


def _mark(text: str) -> str | None:
    first, dash, last = text.partition("-")
    if dash:
        low, high = number(first), number(last)
        return f"{low:#x}-{high:#x}" if low is not None and high is not None and low <= high <= FULL else None
    value, _, mask = text.partition("/")
    bits, under = number(value), number(mask or "0xffffffff")
    if bits is None or under is None or not (0 <= bits <= FULL and 0 <= under <= FULL):
        return None
    return f"{bits:#x}" if under == FULL else f"{bits:#x}/{under:#x}"


FULL = 0xFFFFFFFF


@kept
def pair_match(key: str, texts: str, negated: bool = False) -> Match | None:
    """`texts`: N, N:M or N-M, divided by commas. None: not numbers."""
    found: list[tuple[int, int]] = []
    for text in texts.split(","):
        first, sep, last = text.replace("-", ":").partition(":")
        low = _number_for(key, first)
        high = _number_for(key, last) if sep else low
        if low is None or high is None or not 0 <= low <= high <= FULL:
            return None
        found.append((low, high))
    return Match(key, tuple(found), negated)


def _number_for(key: str, text: str) -> int | None:
    return dscp(text) if key == "dscp" else number(text)


@kept
def owner_match(key: str, texts: str, negated: bool = False) -> Match | None:
    """User or group: numbers as pairs; a name, which the tool did not translate, as it is."""
    found: list[object] = []
    for text in texts.split(","):
        match = pair_match(key, text)
        found += match.values if match else [text]
    return Match(key, tuple(found), negated)


def lower_match(key: str, words: str, negated: bool = False) -> Match:
    return word_match(key, words.lower(), negated)


def upper_match(key: str, words: str, negated: bool = False) -> Match:
    return word_match(key, words.upper().replace("-", "_"), negated)


@kept
def icmp_match(v6: bool, texts: str, negated: bool = False) -> Match | None:
    """`texts`: TYPE, TYPE/CODE, TYPE-TYPE or any, divided by commas."""
    found: list[tuple[int | None, int | None]] = []
    for text in texts.split(","):
        these = _icmp(text, v6)
        if not these:
            return None
        found += these
    return Match("icmp_type", tuple(found), negated)


def _icmp(text: str, v6: bool) -> list[tuple[int | None, int | None]]:
    if text == "any":
        return [(None, None)]
    name, slash, rest = text.partition("/")
    kind, code = icmp_type(name, v6), number(rest)
    if kind is not None:
        return [] if slash and code is None else [(kind, code)]
    for at, letter in enumerate(text):  # a name may have a - itself
        low, high = (icmp_type(text[:at], v6), icmp_type(text[at + 1 :], v6)) if letter == "-" else (None, None)
        if low is not None and high is not None and 0 <= low <= high <= 255:
            return [(one, None) for one in range(low, high + 1)]
    return []


_PER = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}


@kept
def limit_match(rate: str, per: str, burst: str, over: bool = False) -> Match:
    return Match("limit", (f"{rate}/{_PER.get(per, per)} burst {burst}",), over)


def tcp_flags_match(mask: frozenset[str], flags: frozenset[str], negated: bool) -> Match:
    """As sorted words, MASK/FLAGS: the tools order them differently."""
    return Match("tcp_flags", (f"{','.join(sorted(mask))}/{','.join(sorted(flags))}",), negated)
