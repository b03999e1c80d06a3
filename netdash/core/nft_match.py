"""The conditions of an nft rule, from its JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netdash.core.decode import Json, items, mapping
from netdash.core.model import Match, Target, Verb
from netdash.core.nft_text import expression, rule_text, statement
from netdash.core.rule_parts import Body, mark_match, net_match, port_match, protocol, tcp_flags_match, word_match

Elements = tuple[tuple[str, str | None], ...]
Sets = Mapping[str, Elements]
"""Elements of the named sets and maps of one table, by name."""


class Draft:
    """A rule while its statements are read."""

    __slots__ = (
        "comment",
        "counter",
        "exprs",
        "matches",
        "missing",
        "modules",
        "sets",
        "target",
        "target_name",
        "unread",
    )

    def __init__(self, sets: Sets, exprs: list[object], comment: str | None) -> None:
        self.sets = sets
        self.exprs = exprs
        self.comment = comment
        self.matches: list[Match] = []
        self.unread: list[object] = []  # statements that are not interpreted
        self.missing = False  # a set that it names is not known, or not yet
        self.modules: list[str] = []  # xt matches by name
        self.target: Target | None = None
        self.target_name = ""  # of an xt target
        self.counter: Json | None = None

    def named(self, name: str) -> Elements | None:
        """The elements of "@name"."""
        found = self.sets.get(name[1:])
        self.missing = self.missing or found is None
        return found

    def body(self) -> Body:
        """The rule as nft alone tells it."""
        return Body(
            rule_text(self.exprs, self.comment),
            tuple(self.matches),
            self.target or Target(Verb.CONTINUE),
            self.comment,
            tuple(map(statement, self.unread)),
            tuple(self.modules),
            self.target_name,
        )


def read_match(draft: Draft, value: object) -> bool:
    """Take one "match" statement; False when it is not interpreted."""
    if not isinstance(value, dict):
        return False
    key = _simple(value)
    known = _KNOWN.get(key) if key else None
    if known is not None:
        matches = draft.matches
        if len(known) == 2 and known[0] in matches:
            matches.append(known[1])
        else:
            matches.extend(known)
        return True
    before = len(draft.matches)
    left, right, op = value.get("left"), value.get("right"), value.get("op")
    if op not in ("==", "!=", "in") or not isinstance(left, dict) or len(left) != 1:
        return _compared(draft, left, right, op)
    kind, what = next(iter(left.items()))
    take = _LEFT.get(kind)
    if take is None or not take(draft, what, right, op == "!="):
        return False
    if key:
        _remember(key, draft, before)
    return True


_Key = tuple[object, ...]
_KNOWN: dict[_Key, tuple[Match, ...]] = {}
"""Conditions of one plain value, as most are: a host has few, and each of them many times."""


def _simple(value: Mapping[str, Any]) -> _Key | None:
    """The words of a condition on one field and one value that no named set is part of."""
    left, right, op = value.get("left"), value.get("right"), value.get("op")
    kind = type(right)
    if type(left) is not dict or len(left) != 1 or not (kind is int or (isinstance(right, str) and right[:1] != "@")):
        return None
    field = left.get("payload")
    if type(field) is dict:
        proto, name = field.get("protocol"), field.get("field")
    else:
        field, proto = left.get("meta"), ""
        name = field.get("key") if type(field) is dict else None
    return (op, proto, name, kind, right) if type(op) is type(proto) is type(name) is str else None


def _remember(key: _Key, draft: Draft, before: int) -> None:
    """Keep what the condition added; not when what it implies stood there before."""
    if key[1] in ("", "ip", "ip6", "th") or len(draft.matches) - before == 2:
        if len(_KNOWN) >= _MANY:
            _KNOWN.clear()
        _KNOWN[key] = tuple(draft.matches[before:])


_MANY = 65536  # conditions that are kept


def _compared(draft: Draft, left: object, right: object, op: object) -> bool:
    """Ports above or below a number."""
    spans = {">": "{}:65535", ">=": "{}:65535", "<": "0:{}", "<=": "0:{}"}
    parts = mapping(mapping(left).get("payload"))
    if not isinstance(op, str) or op not in spans or type(right) is not int:
        return False
    bound = right + {">": 1, "<": -1}.get(op, 0)
    key, proto = parts.get("field"), parts.get("protocol")
    if key not in ("sport", "dport") or not isinstance(key, str) or not isinstance(proto, str):
        return False
    return _implied(draft, proto) and add(draft, port_match(key, spans[op].format(bound)))


def add(draft: Draft, match: Match | None) -> bool:
    if match is not None:
        draft.matches.append(match)
    return match is not None


def _implied(draft: Draft, proto: str) -> bool:
    """`tcp dport` says that the protocol is tcp; `th dport` does not say which."""
    if proto != "th":
        match = word_match("proto", proto)
        if match not in draft.matches:
            draft.matches.append(match)
    return True


META = {"iifname": "iif", "iif": "iif", "oifname": "oif", "oif": "oif"}
_FAMILIES = {"ipv4": "ipv4", "ipv6": "ipv6", "ip": "ipv4", "ip6": "ipv6", "2": "ipv4", "10": "ipv6"}


def _meta(draft: Draft, what: object, right: object, negated: bool) -> bool:
    key = mapping(what).get("key")
    if not isinstance(key, str):
        return False
    if key in META:
        return _device(draft, META[key], right, negated)
    if key == "mark":
        return isinstance(right, int) and add(draft, mark_match("mark", str(right), negated))
    values = _texts(draft, right)
    if values is None:
        return False
    if key == "l4proto":
        return add(draft, word_match("proto", ",".join(map(protocol, values)), negated))
    if key in ("nfproto", "protocol") and all(value in _FAMILIES for value in values):
        return add(draft, word_match("family", ",".join(_FAMILIES[value] for value in values), negated))
    if key in ("skuid", "skgid", "pkttype"):
        return add(draft, Match({"skuid": "uid", "skgid": "gid"}.get(key, key), tuple(values), negated))
    return False


def _device(draft: Draft, key: str, right: object, negated: bool) -> bool:
    values = _texts(draft, right)
    if values is None:
        return False
    names = tuple(value[:-1] + "+" if value.endswith("*") else value for value in values)
    return add(draft, Match(key, names, negated))


ADDRESS = {"saddr": "src", "daddr": "dst"}


def _payload(draft: Draft, what: object, right: object, negated: bool) -> bool:
    parts = mapping(what)
    proto, name = parts.get("protocol"), parts.get("field")
    if not isinstance(proto, str) or not isinstance(name, str):
        return False
    if proto in ("ip", "ip6"):
        return _of_ip(draft, name, right, negated)
    values = _texts(draft, right)
    if values is None:
        return False
    if proto in ("tcp", "udp", "th", "sctp", "dccp", "udplite") and name in ("sport", "dport"):
        return _implied(draft, proto) and add(draft, port_match(name, ",".join(values), negated))
    if proto in ("icmp", "icmpv6") and name == "type":
        _implied(draft, protocol(proto))
        return add(draft, word_match("icmp_type", ",".join(values), negated))
    return False


def _of_ip(draft: Draft, name: str, right: object, negated: bool) -> bool:
    values = _texts(draft, right)
    if values is None:
        return False
    if name in ADDRESS:
        if not values:
            return add(draft, Match(ADDRESS[name], (), negated))
        return add(draft, net_match(ADDRESS[name], ",".join(values), negated))
    if name in ("protocol", "nexthdr"):
        return add(draft, word_match("proto", ",".join(map(protocol, values)), negated))
    return False


def _ct(draft: Draft, what: object, right: object, negated: bool) -> bool:
    parts = mapping(what)
    key = parts.get("key")
    values = _texts(draft, right)
    if values is None or set(parts) != {"key"}:
        return False
    if key in ("state", "status", "direction"):
        name = {"state": "ctstate", "status": "ctstatus", "direction": "ctdir"}[str(key)]
        return add(draft, word_match(name, ",".join(values).upper(), negated))
    return key == "mark" and len(values) == 1 and add(draft, mark_match("connmark", values[0], negated))


def _fib(draft: Draft, what: object, right: object, negated: bool) -> bool:
    parts = mapping(what)
    flags = parts.get("flags")
    values = _texts(draft, right)
    key = {"daddr": "dst_type", "saddr": "src_type"}.get(_only(flags))
    if values is None or key is None or parts.get("result") != "type":
        return False
    return add(draft, word_match(key, ",".join(values).upper(), negated))


def _only(flags: object) -> str:
    one = flags[0] if isinstance(flags, list) and len(flags) == 1 else flags
    return one if isinstance(one, str) else ""


def _masked(draft: Draft, what: object, right: object, negated: bool) -> bool:
    """`meta mark & M == V`, and tcp flags under a mask."""
    parts = items(what)
    if len(parts) != 2:
        return False
    left, mask = mapping(parts[0]), parts[1]
    if mapping(left.get("meta")).get("key") == "mark" and type(mask) is int and type(right) is int:
        return add(draft, mark_match("mark", f"{right}/{mask}", negated))
    if left.get("payload") == {"protocol": "tcp", "field": "flags"}:
        bits, flags = _flags(mask), _flags(right)
        if bits is not None and flags is not None:
            _implied(draft, "tcp")
            return add(draft, tcp_flags_match(bits, flags, negated))
    return False


def _flags(value: object) -> frozenset[str] | None:
    if isinstance(value, dict) and set(value) == {"|"}:
        value = value["|"]
    if value == 0 and type(value) is int:
        return frozenset()
    names = value if isinstance(value, list) else [value]
    found = [_flags(one) if isinstance(one, dict) and set(one) == {"|"} else one for one in names]
    flat: set[str] = set()
    for one in found:
        if isinstance(one, frozenset):
            flat |= one
        elif isinstance(one, str):
            flat.add(one)
        else:
            return None
    return frozenset(flat)


_LEFT: dict[str, Callable[[Draft, object, object, bool], bool]] = {
    "meta": _meta,
    "payload": _payload,
    "ct": _ct,
    "fib": _fib,
    "&": _masked,
}


def _texts(draft: Draft, right: object) -> tuple[str, ...] | None:
    """The alternatives on the right as text: one value, a list, a set, or the elements of a named set."""
    if isinstance(right, str):
        if not right.startswith("@"):
            return (right,) if "," not in right else None
        elements = draft.named(right)
        return None if elements is None else tuple(key for key, _ in elements)
    if isinstance(right, dict) and len(right) == 1 and "set" in right:
        right = right["set"]
    values = right if isinstance(right, list) else [right]
    found = [element_text(one) for one in values]
    return None if None in found else tuple(one for one in found if one is not None)


def element_text(value: object) -> str | None:
    """A value, prefix or range as text; None for other shapes."""
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if name == "elem":
            return element_text(mapping(inner).get("val")) if "elem" not in mapping(mapping(inner).get("val")) else None
        if name in ("prefix", "range"):
            return expression(value)
        return None
    if isinstance(value, str) and value and not set(value) & {",", "@"}:
        return value
    return str(value) if type(value) is int else None
