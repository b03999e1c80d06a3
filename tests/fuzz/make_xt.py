"""Random iptables rulesets, as the lines that iptables-restore reads; the same for the legacy tables."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.fuzz.pool import (
    BRIDGE_PORTS,
    CONTAINERS,
    DEVICES,
    HOST,
    MARKS,
    MASKED,
    address,
    chance,
    device,
    net,
    port,
    ports,
)
from tests.fuzz.scenario import Line, Lines

_HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
_IN, _OUT = ("PREROUTING", "INPUT", "FORWARD"), ("FORWARD", "OUTPUT", "POSTROUTING")


def xtables(r: Random, tool: str) -> Lines:
    """`tool`: one of scenario.RESTORE."""
    v = 6 if tool.startswith("ip6") else 4
    tables = [
        table for table, part in (("raw", 0.3), ("mangle", 0.5), ("nat", 0.75), ("filter", 0.85)) if chance(r, part)
    ]
    found: list[Line] = []
    for table in tables or ["filter"]:
        found += [Line(tool, f"{table} {text}") for text in _table(r, table, v)]
    return tuple(found)


def _table(r: Random, table: str, v: int) -> list[str]:
    hooks = list(dict.fromkeys(r.choice(_HOOKS[table]) for _ in range(r.randint(1, 3))))
    if table == "nat":
        hooks = list(dict.fromkeys(("PREROUTING", "POSTROUTING", *hooks)))[: r.randint(1, 3)]
    chains: list[str] = []
    lines: list[str] = []
    for hook in hooks:
        policy = "DROP" if table == "filter" and chance(r, 0.08) else "ACCEPT"
        chains.append(f":{hook} {policy} [0:0]")
        own = [f"{hook[:4]}-{n}" for n in range(r.choices((0, 1, 2), (3, 4, 3))[0])]
        chains += [f":{name} - [0:0]" for name in own]
        for at, name in enumerate((hook, *own)):
            count = r.choices((1, 2, 3, 4), (2, 4, 3, 2))[0]
            lines += [_rule(r, table, name, hook, own[at:], v) for _ in range(count)]
    return [*chains, *lines]


def _rule(r: Random, table: str, name: str, hook: str, below: list[str], v: int) -> str:
    if table == "nat" and chance(r, 0.7):
        proto, asked = _conditions(r, hook, v, 1, 2, transport=chance(r, 0.7))
        return f"-A {name} {asked} {_nat(r, hook, v, proto)}"
    target, least, needs = _target(r, table, hook, below)
    proto, asked = _conditions(r, hook, v, least, 3, tcp=needs)
    if needs:
        asked += " -m tcp --tcp-flags SYN,RST SYN"
    if target == "REJECT" and proto == "tcp" and chance(r, 0.5):
        target = "REJECT --reject-with tcp-reset"
    option = target if target.startswith("-g ") or not target else f"-j {target}"
    return " ".join(f"-A {name} {asked} {option}".split())


# --- conditions -------------------------------------------------------------------------------------------------------


def _conditions(
    r: Random, hook: str, v: int, least: int, most: int, tcp: bool = False, transport: bool = False
) -> tuple[str, str]:
    """(protocol or "", the conditions)."""
    names = ("tcp", "udp", "icmp" if v == 4 else "ipv6-icmp", "")
    proto = r.choices(names, (5, 3, 2, 3))[0] if not transport else r.choice(("tcp", "udp"))
    proto = "tcp" if tcp else proto
    found = [f"-p {proto}"] if proto else []
    count = r.randint(least, most)
    makes = [make for make, hooks in _CONDITIONS if hook in hooks]
    weights = [_WEIGHTS.get(make, 1.0) for make in makes]
    asked: dict[str, str] = {}
    for _ in range(count):
        text = r.choices(makes, weights)[0](r, hook, v, proto)
        if text:
            asked.setdefault(_option(text), text)
    return proto, " ".join([*found, *asked.values()])


def _option(text: str) -> str:
    """What may stand only once in a rule."""
    words = [word for word in text.split() if word != "!"]
    return words[1] if words[0] == "-m" else words[0]


def _not(r: Random, part: float = 0.18) -> str:
    return "! " if chance(r, part) else ""


_Make = Callable[[Random, str, int, str], str]


def _src(r: Random, hook: str, v: int, proto: str) -> str:
    return f"{_not(r)}-s {net(r, v)}"


def _dst(r: Random, hook: str, v: int, proto: str) -> str:
    return f"{_not(r)}-d {net(r, v)}"


def _iif(r: Random, hook: str, v: int, proto: str) -> str:
    return f"{_not(r)}-i {r.choice(('br+', 'up+', 'lo', 'v+')) if chance(r, 0.25) else device(r)}"


def _oif(r: Random, hook: str, v: int, proto: str) -> str:
    return f"{_not(r)}-o {r.choice(('br+', 'up+', 'lo')) if chance(r, 0.25) else device(r)}"


def _port(r: Random, hook: str, v: int, proto: str) -> str:
    if proto in ("icmp", "ipv6-icmp"):
        kind = r.choice(("8", "0", "8/0", "3/1", "any") if proto == "icmp" else ("128", "129", "1/4"))
        option = "--icmp-type" if proto == "icmp" else "--icmpv6-type"
        return f"-m {'icmp' if proto == 'icmp' else 'icmp6'} {_not(r)}{option} {kind}"
    if not proto:
        return ""
    if chance(r, 0.3):
        several = ",".join(dict.fromkeys(ports(r, ":") for _ in range(r.randint(2, 3))))
        return f"-m multiport {_not(r)}{r.choice(('--dports', '--dports', '--ports'))} {several}"
    if chance(r, 0.1):
        return f"-m {proto} {_not(r)}--sport 40000:400{r.randint(10, 40)}"
    return f"-m {proto} {_not(r)}--dport {ports(r, ':')}"


def _flags(r: Random, hook: str, v: int, proto: str) -> str:
    if proto != "tcp":
        return ""
    flags = r.choice(("FIN,SYN,RST,ACK SYN", "SYN,RST SYN", "SYN,ACK ACK", "ALL NONE", "ALL SYN", "RST RST"))
    return f"-m tcp {_not(r)}--tcp-flags {flags}"


def _range(r: Random, hook: str, v: int, proto: str) -> str:
    pairs = {4: ("10.1.0.1-10.1.0.2", "10.1.0.3-10.2.0.2", "192.0.2.1-203.0.113.1"), 6: ("fd00:1::1-fd00:1::2",)}
    return f"-m iprange {_not(r)}{r.choice(('--src-range', '--dst-range'))} {r.choice(pairs[v])}"


def _type(r: Random, hook: str, v: int, proto: str) -> str:
    side, kind = (
        r.choice(("--dst-type", "--dst-type", "--src-type")),
        r.choice(("LOCAL", "LOCAL", "UNICAST", "LOCAL,UNICAST")),
    )
    limit = ""
    if chance(r, 0.1):
        limit = " --limit-iface-in" if hook in ("PREROUTING", "INPUT", "FORWARD") else " --limit-iface-out"
    return f"-m addrtype {_not(r)}{side} {kind}{limit}"


_STATES = ("NEW", "RELATED,ESTABLISHED", "INVALID", "DNAT", "SNAT", "UNTRACKED", "NEW,DNAT")


def _conntrack(r: Random, hook: str, v: int, proto: str) -> str:
    return "-m conntrack " + r.choice(
        (
            f"{_not(r)}--ctstate {r.choice(_STATES)}",
            f"{_not(r)}--ctstate {r.choice(('NEW', 'RELATED,ESTABLISHED'))}",
            f"{_not(r)}--ctstatus {r.choice(('NONE', 'CONFIRMED', 'SEEN_REPLY', 'EXPECTED'))}",
            f"{_not(r)}--ctorigdst {net(r, v)}",
            f"{_not(r)}--ctorigsrc {net(r, v)}",
            f"{_not(r)}--ctorigdstport {port(r)}",
            f"--ctdir {r.choice(('ORIGINAL', 'REPLY'))}",
            f"--ctproto {r.choice(('tcp', 'udp'))}",
        )
    )


def _mark(r: Random, hook: str, v: int, proto: str) -> str:
    return f"-m mark {_not(r)}--mark {r.choice((*MARKS, *MASKED))}"


def _connmark(r: Random, hook: str, v: int, proto: str) -> str:
    return f"-m connmark {_not(r)}--mark {r.choice((*MARKS, *MASKED))}"


def _physdev(r: Random, hook: str, v: int, proto: str) -> str:
    if hook in ("PREROUTING", "INPUT"):
        return f"-m physdev {_not(r)}--physdev-in {r.choice(BRIDGE_PORTS)}"
    return "-m physdev " + r.choice(
        (f"{_not(r)}--physdev-is-bridged", f"{_not(r)}--physdev-in {r.choice(BRIDGE_PORTS)}")
    )


_UNCERTAIN = (
    "-m statistic --mode random --probability 0.5",
    "-m limit --limit 1000/sec",
    "-m length --length 20:100",
    "-m dscp ! --dscp 0x08",
)
"""What a question does not say of the packet."""


def _rest(r: Random, hook: str, v: int, proto: str) -> str:
    return r.choice(
        (
            f'-m comment --comment "it says {r.choice(DEVICES)}"',
            f"-m pkttype {_not(r)}--pkt-type {r.choice(('unicast', 'multicast', 'broadcast'))}",
            f"-m state --state {r.choice(('NEW', 'ESTABLISHED'))}",
            r.choice(_UNCERTAIN) if chance(r, 0.1) else "-m comment --comment x",
            f"-m rpfilter {_not(r)}--loose" if hook == "PREROUTING" else "-m comment --comment z",
        )
    )


_EVERY = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_CONDITIONS: tuple[tuple[_Make, tuple[str, ...]], ...] = (
    (_src, _EVERY),
    (_dst, _EVERY),
    (_iif, _IN),
    (_oif, _OUT),
    (_port, _EVERY),
    (_flags, _EVERY),
    (_range, _EVERY),
    (_type, _EVERY),
    (_conntrack, _EVERY),
    (_mark, _EVERY),
    (_connmark, _EVERY),
    (_physdev, ("PREROUTING", "INPUT", "FORWARD")),
    (_rest, _EVERY),
)
_WEIGHTS: dict[_Make, float] = {
    _src: 2.5,
    _dst: 3,
    _iif: 2,
    _oif: 2,
    _port: 5,
    _range: 0.6,
    _physdev: 0.4,
    _rest: 0.7,
    _mark: 1.4,
}


# --- targets ----------------------------------------------------------------------------------------------------------


def _target(r: Random, table: str, hook: str, below: list[str]) -> tuple[str, int, bool]:
    """(what stands after -j, "-g CHAIN", or "" for none; least number of conditions; whether it needs TCP)."""
    kind = r.choices(("go on", "accept", "end", "jump", "goto", "return", "none"), (7, 4, 2.5, 5, 1, 1, 0.7))[0]
    if kind in ("jump", "goto") and below:
        name = r.choice(below)
        return (name, 0, False) if kind == "jump" else (f"-g {name}", 0, False)
    if kind == "accept":
        return "ACCEPT", 1, False
    if kind == "end" and table != "nat":
        return ("REJECT" if table == "filter" and chance(r, 0.4) else "DROP"), 2, False
    if kind == "return":
        return "RETURN", 1, False
    return _effect(r, table, hook)


def _effect(r: Random, table: str, hook: str) -> tuple[str, int, bool]:
    if table == "raw":
        return r.choice(("CT --notrack", "NOTRACK", "")), 1, False
    if table == "mangle":
        if hook in ("FORWARD", "POSTROUTING") and chance(r, 0.15):
            return "TCPMSS --clamp-mss-to-pmtu", 0, True
        text = r.choice(
            (
                f"MARK --set-mark {r.choice(MARKS)}",
                f"MARK --set-mark {r.choice(MARKS)}",
                f"MARK --set-xmark {r.choice(('0x1/0xf', '0x10/0x10', '0x3/0x3', '0x0/0xff'))}",
                f"MARK {r.choice(('--or-mark 0x10', '--and-mark 0xf0', '--xor-mark 0x3'))}",
                f"CONNMARK --set-mark {r.choice(MARKS)}",
                "CONNMARK --save-mark",
                "CONNMARK --restore-mark",
                "CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf",
            )
        )
        return text, 0, False
    if table == "filter":
        return r.choice(("LOG", "", "NFLOG", f"CONNMARK --set-mark {r.choice(MARKS)}", "")), 0, False
    return "", 0, False


def _nat(r: Random, hook: str, v: int, proto: str) -> str:
    return _dnat(r, v, proto) if hook in ("PREROUTING", "OUTPUT") else _snat(r, hook, v, proto)


def _dnat(r: Random, v: int, proto: str) -> str:
    target = r.choice(CONTAINERS[v]) if chance(r, 0.85) else address(r, v)
    written = target if v == 4 else f"[{target}]"
    kinds = ["address", "netmap"] + (
        ["port"] * 5 + ["redirect"] * 3 + ["shifted", "span"] if proto in ("tcp", "udp") else []
    )
    kind = r.choice(kinds)
    if kind == "port":
        return f"-j DNAT --to-destination {written}:{port(r)}"
    if kind == "redirect":
        return f"-j REDIRECT --to-ports {port(r)}"
    if kind == "shifted":
        return f"-j DNAT --to-destination {written}:5000-5003/{r.choice((80, 5000, 5001))}"
    if kind == "span":
        return f"-j DNAT --to-destination {written}:5000-5003"
    if kind == "netmap":
        return f"-j NETMAP --to {'10.1.0.0/24' if v == 4 else 'fd00:1::/64'}"
    return f"-j DNAT --to-destination {target}"


def _snat(r: Random, hook: str, v: int, proto: str) -> str:
    source = r.choice(HOST[v])
    kind = r.choices(("masquerade", "snat", "port", "netmap"), (5 if hook == "POSTROUTING" else 0, 3, 1, 0.5))[0]
    ported = proto in ("tcp", "udp")
    if kind == "masquerade":
        return "-j MASQUERADE --to-ports 61000" if ported and chance(r, 0.15) else "-j MASQUERADE"
    if kind == "netmap" and hook == "POSTROUTING":
        return f"-j NETMAP --to {'203.0.113.0/24' if v == 4 else '2001:db8::/64'}"
    if kind == "port" and ported:
        return f"-j SNAT --to-source {source if v == 4 else f'[{source}]'}:62000"
    return f"-j SNAT --to-source {source}"
