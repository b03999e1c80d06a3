"""Conditions as nft takes them, each with its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netdash.model.host import Match
from tests.rulegen.dice import PREFIXES, Dice
from tests.rulegen.wanted import Part

Make = Callable[[Dice], Part]
Values = tuple[str, tuple[object, ...]]
"""(nft's words, what they mean)"""
FULL = 0xFFFFFFFF


def ip(dice: Dice) -> str:
    return "ip6" if dice.v6 else "ip"


def braces(texts: Iterable[str]) -> str:
    return "{ " + ", ".join(texts) + " }"


# --- values -----------------------------------------------------------------------------------------------------------


def net(dice: Dice) -> Values:
    one = dice.net()
    return str(one.network_address if one.num_addresses == 1 else one), (one,)


def nets(dice: Dice) -> Values:
    kind = dice.number(1, 3)
    if kind == 1:
        return net(dice)
    if kind == 2:
        low, high, between = dice.span()
        return f"{low}-{high}", between
    many = dice.nets()
    return braces(map(str, many)), tuple(many)


def span_text(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def ports(dice: Dice) -> Values:
    if dice.chance(0.5):
        span = dice.ports()
        return span_text(span), (span,)
    spans = dice.port_list()
    return braces(map(span_text, spans)), tuple(spans)


def devices(dice: Dice) -> Values:
    if dice.chance(0.3):
        prefix = dice.pick(PREFIXES)
        return f'"{prefix}*"', (f"{prefix}+",)
    names = dice.some([one for one in ("eth0", "docker0", "br-0123456789ab", "a_b", "veth1.2") if one], 1, 3)
    return (f'"{names[0]}"' if len(names) == 1 else braces(f'"{one}"' for one in names)), tuple(names)


def words(*choices: str, up: bool = False) -> Callable[[Dice], Values]:
    def value(dice: Dice) -> Values:
        found = dice.some(choices)
        said = found[0] if len(found) == 1 else braces(found)
        return said, tuple(one.upper().replace("-", "_") if up else one for one in found)

    return value


def numbers(high: int) -> Callable[[Dice], Values]:
    def value(dice: Dice) -> Values:
        low, top = sorted((dice.number(0, high), dice.number(0, high)))
        if dice.chance(0.5):
            return str(low), ((low, low),)
        return (f"{low}-{top}", ((low, top),)) if low < top else (str(low), ((low, low),))

    return value


def _marks(dice: Dice) -> Values:
    kind = dice.number(1, 3)
    if kind == 1:
        low, high = sorted((dice.mark(), dice.mark()))
        if low < high and (low, high) != (0, FULL):
            return f"{low:#x}-{high:#x}", (f"{low:#x}-{high:#x}",)
        return f"{low:#x}", (f"{low:#x}",)
    if kind == 2:
        value = dice.mark()
        return f"{value:#x}", (f"{value:#x}",)
    many = sorted({dice.number(0, 500) * 2 for _ in range(3)})
    return braces(map(hex, many)), tuple(f"{one:#x}" for one in many)


def only(dice: Dice) -> tuple[Match, ...]:
    """In a table of both versions, what names one of them is for its packets only."""
    return (Match("family", ("ipv6" if dice.v6 else "ipv4",)),) if dice.wide else ()


# --- conditions -------------------------------------------------------------------------------------------------------


def one(left: str, key: str, value: Callable[[Dice], Values], *implied: Match, negate: bool = True) -> Make:
    def make(dice: Dice) -> Part:
        said, values = value(dice)
        negated = negate and dice.chance(0.3)
        text = left.replace("IP", ip(dice))
        return Part(f"{text} {'!= ' if negated else ''}{said}", (*implied, Match(key, values, negated)))

    return make


def _masked(left: str, key: str) -> Make:
    def make(dice: Dice) -> Part:
        mask = dice.mask()
        value = dice.mark() & mask
        negated = dice.chance(0.3)
        said = f"{left} & {mask:#x} {'!=' if negated else '=='} {value:#x}"
        full = f"{value:#x}" if mask == FULL else f"{value:#x}/{mask:#x}"
        return Part(said, (Match(key, (full,), negated),))

    return make


def _status(dice: Dice) -> Part:
    found = dice.some(("dnat", "snat", "assured", "seen-reply"))
    return Part(f"ct status {','.join(found)}", (Match("ctstatus", tuple(x.upper().replace("-", "_") for x in found)),))


def _state(dice: Dice) -> Part:
    found = dice.some(("new", "established", "related", "invalid", "untracked"))
    return Part(f"ct state {','.join(found)}", (Match("ctstate", tuple(map(str.upper, found))),))


def _limit(dice: Dice) -> Part:
    rate, per, burst = dice.pick((1, 7, 11, 13)), dice.pick(("second", "minute", "hour")), dice.pick((1, 5, 20))
    over = dice.chance(0.4)
    said = f"limit rate {'over ' if over else ''}{rate}/{per} burst {burst} packets"
    return Part(said, (Match("limit", (f"{rate}/{per} burst {burst}",), over),))


def _fib(flag: str, suffix: str) -> Make:
    def make(dice: Dice) -> Part:
        side, key = dice.pick((("saddr", "src_type"), ("daddr", "dst_type")))
        said, values = words("local", "unicast", "broadcast", up=True)(dice)
        negated = dice.chance(0.3)
        return Part(f"fib {side}{flag} type {'!= ' if negated else ''}{said}", (Match(key + suffix, values, negated),))

    return make


def _reverse(dice: Dice) -> Part:
    flags, options = dice.pick((("saddr . iif", ""), ("saddr . mark . iif", "validmark"), ("saddr", "loose")))
    said, negated = dice.pick((("missing", True), ("exists", False)))
    return Part(f"fib {flags} oif {said}", (Match("rpfilter", (options,), negated),))


def _bounded(left: str, key: str, most: int, *implied: Match) -> Make:
    def make(dice: Dice) -> Part:
        bound = dice.random.randint(2, most - 2)
        op, span = dice.pick(
            (
                ("<", (0, bound - 1)),
                (">", (bound + 1, most)),
                ("<=", (0, bound)),
                (">=", (bound, most)),
            )
        )
        return Part(f"{left} {op} {bound}", (*implied, Match(key, (span,))))

    return make


def _concat(dice: Dice) -> Part:
    proto = dice.pick(("tcp", "udp"))
    values, texts = [], []
    for address in dice.nets(3):
        low, high = dice.ports()
        texts.append(f"{address} . {span_text((low, high))}")
        values.append((Match("src", (address,)), Match("dport", ((low, high),))))
    negated = dice.chance(0.3)
    said = f"{ip(dice)} saddr . {proto} dport {'!= ' if negated else ''}{braces(texts)}"
    return Part(said, (*only(dice), Match("proto", (proto,)), Match("any_of", tuple(values), negated)))


def _left(said: str, shown: str = "") -> Make:
    return lambda dice: Part(said, unread=(shown or said,))


def _proto(name: str) -> Match:
    return Match("proto", (name,))


GENERAL: dict[str, Make] = {
    "saddr": one("IP saddr", "src", nets),
    "daddr": one("IP daddr", "dst", nets),
    "iifname": one("iifname", "iif", devices),
    "l4proto": one("meta l4proto", "proto", words("tcp", "udp", "sctp", "gre", "esp")),
    "mark": one("meta mark", "mark", _marks),
    "ct mark": one("ct mark", "connmark", _marks),
    "mark mask": _masked("meta mark", "mark"),
    "ct mark mask": _masked("ct mark", "connmark"),
    "ct state": _state,
    "ct state set": one("ct state", "ctstate", words("new", "established", "related", up=True)),
    "ct status": _status,
    "ct direction": one("ct direction", "ctdir", words("original", "reply", up=True)),
    "ct original saddr": one("ct original IP saddr", "ctorigsrc", net),
    "ct reply daddr": one("ct reply IP daddr", "ctrepldst", net),
    "ct zone": one("ct zone", "ctzone", numbers(500)),
    "pkttype": one("meta pkttype", "pkttype", words("broadcast", "multicast")),
    "length": one("meta length", "length", numbers(65000)),
    "length bound": _bounded("meta length", "length", FULL),
    "cpu": one("meta cpu", "cpu", numbers(64)),
    "skuid": one("meta skuid", "uid", numbers(60000)),
    "skgid": one("meta skgid", "gid", numbers(60000)),
    "limit": _limit,
    "fib type": _fib("", ""),
    "fib type of device": _fib(" . iif", "_iif"),
    "reverse": _reverse,
    "concat": _concat,
    "quota": lambda dice: Part("quota over 5 mbytes", (Match("quota", ("over 5 mbytes",)),)),
    "ct count": lambda dice: Part("ct count over 20", (Match("connlimit", ("over 20",)),)),
    "named set": lambda dice: Part(
        f"{ip(dice)} saddr @s{6 if dice.v6 else 4}", (Match("src", SETS["s6" if dice.v6 else "s4"][1]),)
    ),
    "named devices": lambda dice: Part("iifname != @d", (Match("iif", SETS["d"][1], True),)),
    "empty set": lambda dice: Part(f"{ip(dice)} daddr @e{6 if dice.v6 else 4}", (Match("dst", ()),)),
    "jhash": lambda dice: Part(f"jhash {ip(dice)} saddr mod 4 == 1", unread=(f"jhash {ip(dice)} saddr mod 4 1",)),
    "priority": _left("meta priority 1:2"),
}
"""For tables of one IP version, and of both."""


def _text_of(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


_NETS4 = tuple(Dice(4).nets(4))
_six = Dice(6)
_six.v6 = True
_NETS6 = tuple(_six.nets(4))
SETS: dict[str, tuple[str, tuple[object, ...]]] = {
    "s4": (f"type ipv4_addr; flags interval; elements = {{ {_text_of(_NETS4)} }}", _NETS4),
    "s6": (f"type ipv6_addr; flags interval; elements = {{ {_text_of(_NETS6)} }}", _NETS6),
    "d": ('type ifname; elements = { "docker0", "br-1" }', ("docker0", "br-1")),
    "e4": ("type ipv4_addr", ()),
    "e6": ("type ipv6_addr", ()),
}
"""Named sets of every table: (definition, what they hold)."""

_TCP = _proto("tcp")
_EVERY = "ack,cwr,ecn,fin,psh,rst,syn,urg"


def _flags(dice: Dice) -> Part:
    every = ("fin", "syn", "rst", "psh", "ack", "urg")
    mask = dice.some(every, 2, 6)
    flags = dice.some(mask, 1, len(mask))
    negated = dice.chance(0.3)
    said = f"tcp flags & ({'|'.join(mask)}) {'!=' if negated else '=='} {'|'.join(flags)}"
    return Part(said, (_TCP, Match("tcp_flags", (f"{','.join(sorted(mask))}/{','.join(sorted(flags))}",), negated)))


def _some_flags(dice: Dice) -> Part:
    flags = dice.some(("fin", "syn", "ack"), 1, 3)
    return Part(f"tcp flags {','.join(flags)}", (_TCP, Match("tcp_flags", (f"{','.join(sorted(flags))}/",), True)))


def _exact_flags(dice: Dice) -> Part:
    return Part("tcp flags == syn", (_TCP, Match("tcp_flags", (f"{_EVERY}/syn",))))


def _icmp(v6: bool) -> Make:
    name, proto = ("icmpv6", "ipv6-icmp") if v6 else ("icmp", "icmp")

    def make(dice: Dice) -> Part:
        kinds = sorted({dice.number(0, 120) * 2 for _ in range(dice.number(1, 3))})
        said = str(kinds[0]) if len(kinds) == 1 else braces(map(str, kinds))
        negated = dice.chance(0.3)
        values = tuple((kind, None) for kind in kinds)
        return Part(
            f"{name} type {'!= ' if negated else ''}{said}", (_proto(proto), Match("icmp_type", values, negated))
        )

    return make


def _ported(proto: str) -> dict[str, Make]:
    return {
        f"{proto} sport": one(f"{proto} sport", "sport", ports, _proto(proto)),
        f"{proto} dport": one(f"{proto} dport", "dport", ports, _proto(proto)),
        f"{proto} bound": _bounded(f"{proto} dport", "dport", 65535, _proto(proto)),
    }


OF_PROTO: dict[str, dict[str, Make]] = {
    "tcp": _ported("tcp") | {"flags": _flags, "some flags": _some_flags, "exact flags": _exact_flags},
    "udp": _ported("udp"),
    "sctp": _ported("sctp"),
    "icmp": {"icmp": _icmp(False)},
    "icmpv6": {"icmpv6": _icmp(True)},
}


def of_version(v6: bool, wide: bool) -> dict[str, Make]:
    """Fields of the IP header; in a table of both versions they say which one."""
    implied = (Match("family", ("ipv6" if v6 else "ipv4",)),) if wide else ()
    name, hops = ("ip6", "hoplimit") if v6 else ("ip", "ttl")
    found = {
        f"{name} hops": _bounded(f"{name} {hops}", hops, 255, *implied),
        f"{name} dscp": one(f"{name} dscp", "dscp", numbers(63), *implied),
    }
    if not v6:
        found["fragment"] = lambda dice: Part("ip frag-off & 0x1fff != 0", (*implied, Match("fragment", (True,))))
    return found


HOOKED: dict[str, dict[str, Make]] = {
    hook: {"oifname": one("oifname", "oif", devices)} for hook in ("forward", "output", "postrouting")
}
