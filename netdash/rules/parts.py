"""The parts that rules of every backend are made of, built once each: equal conditions are the same object, so a
10,000-rule host holds few of them and comparing is cheap. Reads no rule itself."""

from __future__ import annotations

from ipaddress import summarize_address_range

from netdash.model.addresses import address, subnet
from netdash.model.host import Match, Net, Target
from netdash.model.memory import kept
from netdash.model.records import dataclass

_PROTOCOLS = {
    "0": "ip", "1": "icmp", "2": "igmp", "4": "ipencap", "6": "tcp", "17": "udp", "33": "dccp", "41": "ipv6",
    "47": "gre", "50": "esp", "51": "ah", "58": "ipv6-icmp", "89": "ospf", "94": "ipip", "97": "etherip",
    "103": "pim", "108": "ipcomp", "112": "vrrp", "115": "l2tp", "132": "sctp", "135": "mobility-header",
    "136": "udplite", "137": "mpls-in-ip", "icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp", "comp": "ipcomp",
    "mh": "mobility-header", "ipv6-mh": "mobility-header", "ospfigp": "ospf",
}  # fmt: skip
"""Numbers and other spellings -> the name in /etc/protocols."""

_ICMP = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMPV6 = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
_ICMP_CODES = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
_ICMPV6_CODES = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
_DSCP = {"be": 0, "df": 0, "lephb": 1, "va": 44, "voice-admit": 44, "ef": 46}


def protocol(name: str) -> str:
    return _PROTOCOLS.get(name, name)


def known_protocol(name: str) -> bool:
    """Whether it is a name that `protocol` gives, or a number."""
    return name in _PROTOCOLS.values() or name.isdecimal()


def number(text: str) -> int | None:
    """A decimal or 0x… number."""
    try:
        return int(text, 16 if text[:2] in ("0x", "0X") else 10)
    except ValueError:
        return None


def icmp_type(name: str, v6: bool) -> int | None:
    known = (_ICMPV6 if v6 else _ICMP).get(name)
    return number(name) if known is None else known


def icmp_code(name: str, v6: bool) -> int | None:
    known = (_ICMPV6_CODES if v6 else _ICMP_CODES).get(name)
    return number(name) if known is None else known


def dscp(name: str) -> int | None:
    """A number or a class: cs0 to cs7, af11 to af43, ef …"""
    name = name.lower()
    if len(name) == 3 and name[:2] == "cs" and "0" <= name[2] <= "7":
        return 8 * int(name[2])
    if len(name) == 4 and name[:2] == "af" and "1" <= name[2] <= "4" and "1" <= name[3] <= "3":
        return 8 * int(name[2]) + 2 * int(name[3])
    known = _DSCP.get(name)
    return number(name) if known is None else known


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
            return [(value, None) for value in range(low, high + 1)]
    return []


_PER = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}


@kept
def limit_match(rate: str, per: str, burst: str, over: bool = False) -> Match:
    return Match("limit", (f"{rate}/{_PER.get(per, per)} burst {burst}",), over)


def tcp_flags_match(mask: frozenset[str], flags: frozenset[str], negated: bool) -> Match:
    """As sorted words, MASK/FLAGS: the tools order them differently."""
    return Match("tcp_flags", (f"{','.join(sorted(mask))}/{','.join(sorted(flags))}",), negated)
