"""What the left side of an nft condition asks, and how the values that it is compared with are read. Knows no rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from netdash.model.host import Match
from netdash.model.records import dataclass
from netdash.parse.json_values import mapping
from netdash.rules.nft_text import expression
from netdash.rules.parts import (
    FULL,
    icmp_code,
    icmp_match,
    lower_match,
    mark_match,
    name_match,
    net_match,
    number,
    owner_match,
    pair_match,
    port_match,
    protocol,
    upper_match,
    word_match,
)

Texts = tuple[str, ...]
Read = Callable[[str, Texts, bool], Match | None]


@dataclass(frozen=True, slots=True)
class Field:
    """`read` makes the condition of (key, values as text, negated), or None. `most` is the highest number that the
    field can hold, where it is one. `bits`: several values of it can hold at once."""

    key: str
    read: Read
    implied: tuple[Match, ...] = ()
    most: int | None = None
    bits: bool = False

    def match(self, texts: Texts, negated: bool = False) -> Match | None:
        if not texts:
            return Match(self.key, (), negated)
        return self.read(self.key, texts, negated)


def _joined(make: Callable[[str, str, bool], Match | None]) -> Read:
    """For values that hold no comma."""

    def read(key: str, texts: Texts, negated: bool) -> Match | None:
        return None if any("," in text for text in texts) else make(key, ",".join(texts), negated)

    return read


_WORDS, _LOWER, _UPPER = _joined(word_match), _joined(lower_match), _joined(upper_match)
_NETS, _PORTS, _PAIRS = _joined(net_match), _joined(port_match), _joined(pair_match)
_OWNERS = _joined(owner_match)


def _marks(key: str, texts: Texts, negated: bool) -> Match | None:
    """nft writes a mask whose ones all lead as a prefix length."""
    found = [_masked(text) for text in texts]
    return None if None in found else mark_match(key, ",".join(map(str, found)), negated)


def _masked(text: str) -> str | None:
    value, slash, length = text.partition("/")
    bits = number(length)
    if not slash:
        return None if "," in text else text
    return f"{value}/{FULL << (32 - bits) & FULL}" if bits is not None and 0 <= bits <= 32 else None


def _devices(key: str, texts: Texts, negated: bool) -> Match | None:
    """nft writes any ending as *, and knows no other wildcard."""
    if any(text.endswith("+") or "\\" in text for text in texts):
        return None
    names = [text[:-1] + "+" if text.endswith("*") else text for text in texts]
    return name_match(key, names[0], negated) if len(names) == 1 else Match(key, tuple(names), negated)


def _protocols(key: str, texts: Texts, negated: bool) -> Match | None:
    return _WORDS(key, tuple(map(protocol, texts)), negated)


_FAMILIES = {
    "ipv4": "ipv4", "ipv6": "ipv6", "ip": "ipv4", "ip6": "ipv6", "2": "ipv4", "10": "ipv6", "4": "ipv4", "6": "ipv6"
}  # fmt: skip


def _families(key: str, texts: Texts, negated: bool) -> Match | None:
    if all(text in _FAMILIES for text in texts):
        return _WORDS("family", tuple(_FAMILIES[text] for text in texts), negated)
    return _WORDS("ethertype", texts, negated) if key == "ethertype" else None


def _pkttypes(key: str, texts: Texts, negated: bool) -> Match | None:
    return _WORDS(key, tuple("unicast" if text == "host" else text for text in texts), negated)


def _icmp(v6: bool) -> Read:
    return _joined(lambda _, texts, negated: icmp_match(v6, texts, negated))


def _icmp_codes(v6: bool) -> Read:
    def read(key: str, texts: Texts, negated: bool) -> Match | None:
        codes = [icmp_code(text, v6) for text in texts]
        return _PAIRS(key, texts if None in codes else tuple(map(str, codes)), negated)

    return read


def _unsure(key: str, texts: Texts, negated: bool) -> Match:
    """Known by name only: the words of the tool are the value."""
    shown = texts[0] if len(texts) == 1 else "{ " + ", ".join(texts) + " }"
    return Match(key, (f"! {shown}" if negated else shown,))


# --- the fields -------------------------------------------------------------------------------------------------------

_BYTE, _SHORT, _WORD = 0xFF, 0xFFFF, 0xFFFFFFFF
_ARP = (word_match("ethertype", "arp"),)
_META = {
    "iifname": Field("iif", _devices),
    "iif": Field("iif", _devices),
    "oifname": Field("oif", _devices),
    "oif": Field("oif", _devices),
    **{
        f"{side}{what}": Field(f"{side}{what}", _WORDS) for side in ("iif", "oif") for what in ("group", "type", "kind")
    },
    "mark": Field("mark", _marks, most=_WORD),
    "l4proto": Field("proto", _protocols),
    "nfproto": Field("family", _families),
    "protocol": Field("ethertype", _families),
    "skuid": Field("uid", _OWNERS, most=_WORD),
    "skgid": Field("gid", _OWNERS, most=_WORD),
    "pkttype": Field("pkttype", _pkttypes),
    "length": Field("length", _PAIRS, most=_WORD),
    "cpu": Field("cpu", _PAIRS, most=_WORD),
    **{name: Field("time", _unsure) for name in ("time", "hour", "day")},
    "cgroup": Field("cgroup", _unsure),
}
_PORTED = ("tcp", "udp", "sctp", "dccp", "udplite", "th")
_PAYLOAD = {
    **{
        (proto, name): Field(name, _PORTS, () if proto == "th" else (word_match("proto", proto),), _SHORT)
        for proto in _PORTED
        for name in ("sport", "dport")
    },
    ("ip", "saddr"): Field("src", _NETS),
    ("ip", "daddr"): Field("dst", _NETS),
    ("ip6", "saddr"): Field("src", _NETS),
    ("ip6", "daddr"): Field("dst", _NETS),
    ("ip", "protocol"): Field("proto", _protocols),
    ("ip", "version"): Field("family", _families),
    ("ip", "ttl"): Field("ttl", _PAIRS, most=_BYTE),
    ("ip", "dscp"): Field("dscp", _PAIRS, most=63),
    ("ip", "length"): Field("length", _PAIRS, most=_SHORT),
    ("ip6", "nexthdr"): Field("proto", _protocols),
    ("ip6", "hoplimit"): Field("hoplimit", _PAIRS, most=_BYTE),
    ("ip6", "dscp"): Field("dscp", _PAIRS, most=63),
    ("icmp", "type"): Field("icmp_type", _icmp(False), (word_match("proto", "icmp"),)),
    ("icmp", "code"): Field("icmp_code", _icmp_codes(False), (word_match("proto", "icmp"),), _BYTE),
    ("icmpv6", "type"): Field("icmp_type", _icmp(True), (word_match("proto", "ipv6-icmp"),)),
    ("icmpv6", "code"): Field("icmp_code", _icmp_codes(True), (word_match("proto", "ipv6-icmp"),), _BYTE),
    ("ether", "saddr"): Field("mac", _LOWER),
    ("ether", "daddr"): Field("mac_dst", _LOWER),
    ("ether", "type"): Field("ethertype", _families),
    ("vlan", "id"): Field("vlan", _PAIRS, most=4095),
    ("arp", "operation"): Field("arp_operation", _WORDS, _ARP),
    ("arp", "saddr ip"): Field("arp_src", _NETS, _ARP),
    ("arp", "daddr ip"): Field("arp_dst", _NETS, _ARP),
}
_CT = {
    "state": Field("ctstate", _UPPER),
    "status": Field("ctstatus", _UPPER, bits=True),
    "direction": Field("ctdir", _UPPER),
    "mark": Field("connmark", _marks, most=_WORD),
    "zone": Field("ctzone", _PAIRS, most=_SHORT),
    "helper": Field("helper", _unsure),
    "l3proto": Field("family", _families),
    "protocol": Field("ctproto", _protocols),
    "expiration": Field("ctexpire", _PAIRS, most=_WORD),
}
_CT_OF = {"saddr": "src", "daddr": "dst", "proto-src": "srcport", "proto-dst": "dstport"}
_ONLY_ONE = {4: word_match("family", "ipv4"), 6: word_match("family", "ipv6")}


def field_of(left: object, wide: bool) -> Field | None:
    """The field of one expression; `wide`: the table sees more than one IP version."""
    if not isinstance(left, dict) or len(left) != 1:
        return None
    kind, what = next(iter(left.items()))
    take = _KINDS.get(kind)
    return take(what, wide) if take else None


def _payload(what: object, wide: bool) -> Field | None:
    parts = mapping(what)
    proto, name = parts.get("protocol"), parts.get("field")
    if not isinstance(proto, str) or not isinstance(name, str):
        return None
    found = _PAYLOAD.get((proto, name))
    if found and wide and proto in ("ip", "ip6") and found.read not in (_NETS, _families):
        return _of_version(found, 4 if proto == "ip" else 6)
    return found


@lru_cache(maxsize=64)
def _of_version(field: Field, version: int) -> Field:
    return Field(field.key, field.read, (*field.implied, _ONLY_ONE[version]), field.most)


def _meta(what: object, _wide: bool) -> Field | None:
    key = mapping(what).get("key")
    return _META.get(key) if isinstance(key, str) else None


def _ct(what: object, _wide: bool) -> Field | None:
    parts = mapping(what)
    key, side = parts.get("key"), parts.get("dir")
    if not isinstance(key, str):
        return None
    if side is None:
        return _CT.get(key)
    name = _CT_OF.get(key.removeprefix("ip6 ").removeprefix("ip "))
    prefix = {"original": "ctorig", "reply": "ctrepl"}.get(str(side))
    if name is None or prefix is None:
        return Field("ctproto", _protocols) if key == "protocol" and side == "original" else None
    return Field(prefix + name, _NETS if "port" not in name else _PORTS, (), None if "port" not in name else _SHORT)


def _fib(what: object, _wide: bool) -> Field | None:
    parts = mapping(what)
    flags = parts.get("flags")
    asked = sorted(map(str, flags if isinstance(flags, list) else [flags]))
    sides = [flag for flag in asked if flag in ("saddr", "daddr")]
    rest = [flag for flag in asked if flag not in sides]
    if len(sides) != 1 or parts.get("result") != "type" or rest not in ([], ["iif"], ["oif"]):
        return None
    return Field("_".join([{"saddr": "src_type", "daddr": "dst_type"}[sides[0]], *rest]), _UPPER)


def _socket(what: object, _wide: bool) -> Field | None:
    key = mapping(what).get("key")
    if key == "mark":
        return Field("socket_mark", _marks, most=_WORD)
    return Field("socket", lambda name, texts, negated: _unsure(name, (f"{key} {' '.join(texts)}",), negated))


def _generated(what: object, _wide: bool) -> Field | None:
    words = expression({"numgen": what})
    return Field("statistic", lambda name, texts, negated: _unsure(name, (f"{words} {','.join(texts)}",), negated))


_KINDS: dict[str, Callable[[object, bool], Field | None]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "socket": _socket,
    "numgen": _generated,
}
