"""Random nf_tables rulesets: several tables, families and priorities, as lines for `nft -f`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from tests.fuzz.nft_conditions import Place, conditions
from tests.fuzz.pool import (
    BRIDGE_PORTS,
    CONTAINERS,
    HOST,
    MARKS,
    PORTS,
    PREFIXES,
    address,
    addresses,
    chance,
    port,
    several_ports,
)
from tests.fuzz.scenario import Line, Lines

_FAMILIES = ("ip", "inet", "ip6", "bridge", "netdev")
_PRIORITIES = (-300, -200, -150, -100, -10, 0, 0, 0, 0, 10, 50, 110)


@dataclass(slots=True)
class _Chain:
    name: str
    use: str  # filter, route, dnat, snat: what may stand in it
    place: Place
    hook: str = ""  # base chains only
    priority: int = 0
    below: list[str] = field(default_factory=list)  # chains that it may jump to


def nft(r: Random) -> Lines:
    """One to three tables."""
    found: list[str] = []
    for at in range(r.choices((1, 2, 3), (4, 4, 2))[0]):
        family = r.choices(_FAMILIES, (8, 8, 1.5, 1.5, 0.15))[0]
        name = r.choice(("filter", "nat")) if family == "ip" and chance(r, 0.02) else f"t{at}"
        found += _table(r, family, name)
    return tuple(Line("nft", text) for text in found)


def _table(r: Random, family: str, name: str) -> list[str]:
    where = f"{family} {name}"
    sets, named = _sets(r, family)
    chains = _chains(r, family, named)
    lines = [f"add table {where}", *(f"add set {where} {text}" for text in sets)]
    lines += [f"add chain {where} {chain.name}{_base(r, chain)}" for chain in reversed(chains)]
    for chain in reversed(chains):
        lines += [
            f"add rule {where} {chain.name} {_rule(r, chain)}"
            for _ in range(r.choices((0, 1, 2, 3, 5), (1, 3, 4, 4, 2))[0])
        ]
    return lines


def _sets(r: Random, family: str) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    if family in ("bridge", "netdev") or chance(r, 0.4):
        return [], ()
    v = 6 if family == "ip6" else 4
    texts, named = [], []
    if chance(r, 0.7):
        named.append(("hosts", f"ipv{v}_addr"))
        spans = chance(r, 0.4)
        members = r.sample(PREFIXES[v][:2] + PREFIXES[v][3:6], 2) if spans else addresses(r, v)
        flags = "flags interval; " if spans else ""
        texts.append(f"hosts {{ type ipv{v}_addr; {flags}elements = {{ {', '.join(members)} }}; }}")
    if chance(r, 0.5):
        named.append(("services", "inet_service"))
        texts.append(
            f"services {{ type inet_service; flags interval; elements = {{ {', '.join(several_ports(r))} }}; }}"
        )
    if chance(r, 0.4):
        named.append(("pairs", f"ipv{v}_addr . inet_service"))
        pairs = sorted({f"{one} . {port(r)}" for one in addresses(r, v)})
        texts.append(f"pairs {{ type ipv{v}_addr . inet_service; elements = {{ {', '.join(pairs)} }}; }}")
    return texts, tuple(named)


# --- chains -----------------------------------------------------------------------------------------------------------

_HOOKS = {
    "filter": ("prerouting", "input", "forward", "forward", "output", "postrouting"),
    "route": ("output",),
    "dnat": ("prerouting", "prerouting", "output"),
    "snat": ("postrouting", "postrouting", "input"),
}


def _chains(r: Random, family: str, named: tuple[tuple[str, str], ...]) -> list[_Chain]:
    """Base chains, each followed by the chains that it can lead to."""
    found: list[_Chain] = []
    taken: set[tuple[str, int]] = set()
    for at in range(r.choices((1, 2, 3, 4), (2, 4, 4, 2))[0]):
        use = "filter" if family in ("bridge", "netdev") else r.choices(tuple(_HOOKS), (6, 1, 4, 3))[0]
        hook = "ingress" if family == "netdev" else r.choice(_HOOKS[use])
        priority = _priority(r, use, hook)
        if (hook, priority) in taken:
            continue  # within one table; between tables it happens
        taken.add((hook, priority))
        place = Place(family, (hook,), named)
        base = _Chain(f"b{at}", use, place, hook, priority)
        inner = [_Chain(f"c{at}{n}", use, place) for n in range(r.choices((0, 1, 2, 3), (3, 4, 2, 1))[0])]
        for n, chain in enumerate(inner):
            chain.below = [one.name for one in inner[n + 1 :]]
        base.below = [one.name for one in inner]
        found += [base, *inner]
    return found


def _priority(r: Random, use: str, hook: str) -> int:
    if use == "dnat":
        return r.choice((-100, -100, -101, -90))
    if use == "snat":
        return r.choice((100, 100, 101, 110))
    return -150 if use == "route" else r.choice(_PRIORITIES)


def _base(r: Random, chain: _Chain) -> str:
    if not chain.hook:
        return ""
    kind = {"dnat": "nat", "snat": "nat"}.get(chain.use, chain.use)
    device = ""
    if chain.hook == "ingress":
        device = f" device {r.choice(('up0', 'up1', *BRIDGE_PORTS))}"
    policy = "drop" if kind == "filter" and chance(r, 0.06) else "accept"
    return f" {{ type {kind} hook {chain.hook}{device} priority {chain.priority}; policy {policy}; }}"


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(r: Random, chain: _Chain) -> str:
    if chain.use in ("dnat", "snat") and chance(r, 0.65):
        return _translation(r, chain)
    verdict = r.choices(
        ("go on", "accept", "end", "jump", "map", "return"), (8, 4, 2.5, 5 if chain.below else 0, 2, 1)
    )[0]
    least = 1 if verdict in ("accept", "end", "return") else 0
    asked = conditions(r, chain.place, least)
    counter = "counter" if chance(r, 0.4) else ""
    then = {
        "go on": lambda: _effect(r, chain),
        "accept": lambda: "accept",
        "end": lambda: _end(r, chain),
        "jump": lambda: f"{r.choice(('jump', 'jump', 'jump', 'goto'))} {r.choice(chain.below)}",
        "map": lambda: _verdict_map(r, chain),
        "return": lambda: "return",
    }[verdict]()
    comment = ' comment "a remark"' if chance(r, 0.05) else ""
    return " ".join(f"{asked} {counter} {then}{comment}".split()) or "counter"


def _end(r: Random, chain: _Chain) -> str:
    here = chain.use == "filter" and chain.place.family in ("ip", "ip6", "inet")
    if here and chance(r, 0.4) and set(chain.place.hooks) & {"input", "forward", "output"}:
        how = "icmpx type admin-prohibited" if chain.place.family == "inet" else "tcp reset"
        return r.choice(("reject", f"meta l4proto tcp reject with {how}", "meta l4proto tcp reject with tcp reset"))
    return "drop"


def _effect(r: Random, chain: _Chain) -> str:
    marks = (
        f"meta mark set {r.choice(MARKS)}",
        f"meta mark set {r.choice(MARKS)}",
        "meta mark set meta mark | 0x10",
        "meta mark set meta mark & 0xf0",
        "meta mark set meta mark ^ 0x3",
    )
    if chain.place.family in ("bridge", "netdev"):
        return r.choice((*marks, "counter"))
    tracked = (
        f"ct mark set {r.choice(MARKS)}",
        "ct mark set meta mark",
        "meta mark set ct mark",
        "ct mark set ct mark | 0x1",
    )
    others = (
        "counter",
        "counter",
        'log prefix "seen "',
        "continue",
        "meta mark set tcp dport map { 80 : 0x1, 443 : 0x2 }",
    )
    if chain.hook in ("prerouting", "output") and chain.priority <= -250:
        return r.choice(("notrack", "notrack", *marks, "counter"))
    return r.choice((*marks, *tracked, *others))


def _verdict_map(r: Random, chain: _Chain) -> str:
    def verdict() -> str:
        below = [f"jump {one}" for one in chain.below] + [f"goto {one}" for one in chain.below[:1]]
        return r.choice((*below, *below, "accept", "drop", "return", "continue"))

    place = chain.place
    v = place.version(r)
    word = "ip" if v == 4 else "ip6"
    kind = r.choice(("port", "address", "device", "proto", "pair", "state"))
    if kind == "device" and set(place.hooks) <= {"prerouting", "input", "forward"} and place.family != "netdev":
        return _vmap("iifname", r.sample(place.devices, 2), verdict)
    if kind == "address":
        return _vmap(f"{word} {r.choice(('saddr', 'daddr'))}", addresses(r, v), verdict)
    if kind == "proto":
        return _vmap("meta l4proto", ["tcp", "udp", "icmp"][: r.randint(1, 3)], verdict)
    if kind == "pair" and place.family in ("ip", "ip6", "inet"):
        return _vmap(f"{word} daddr . th dport", sorted({f"{one} . {port(r)}" for one in addresses(r, v)}), verdict)
    if kind == "state" and place.family in ("ip", "ip6", "inet"):
        return _vmap("ct state", ["established", "related", "new", "invalid"][: r.randint(1, 4)], verdict)
    return _vmap(f"{r.choice(('tcp', 'udp', 'th'))} dport", several_ports(r), verdict)


def _vmap(key: str, members: list[str], verdict: object) -> str:
    assert callable(verdict)
    return f"{key} vmap {{ {', '.join(f'{one} : {verdict()}' for one in members)} }}"


# --- translations -----------------------------------------------------------------------------------------------------


def _translation(r: Random, chain: _Chain) -> str:
    v = chain.place.version(r)
    narrowed = replace(chain.place, family="ip" if v == 4 else "ip6")
    asked = conditions(r, narrowed, 1, 2)
    if chain.use == "dnat":
        return f"{asked} {_dnat(r, chain, v)}"
    return f"{asked} {_snat(r, chain, v)}"


def _dnat(r: Random, chain: _Chain, v: int) -> str:
    to = "dnat" if chain.place.family != "inet" else f"dnat {'ip' if v == 4 else 'ip6'}"
    target = r.choice(CONTAINERS[v]) if chance(r, 0.8) else address(r, v)
    bracketed = target if v == 4 else f"[{target}]"
    proto = f"meta l4proto {r.choice(('tcp', 'udp', '{ tcp, udp }'))}"
    a, b = r.sample(PORTS, 2)
    kind = r.choices(("address", "port", "redirect", "map", "pairs", "prefix", "range"), (4, 6, 3, 2, 2, 0.7, 0.5))[0]
    if kind == "port":
        return f"{proto} {to} to {bracketed}:{port(r)}"
    if kind == "redirect":
        return f"{proto} redirect to :{port(r)}" if chance(r, 0.8) else "redirect"
    if kind == "map":
        return f"tcp dport {{ {a}, {b} }} {to} to tcp dport map {{ {a} : {target}, {b} : {r.choice(CONTAINERS[v])} }}"
    if kind == "pairs" and v == 4:
        return f"{to} to ip daddr . tcp dport map {{ {r.choice(HOST[4])} . {a} : {target} . {b} }}"
    if kind == "prefix" and v == 4:
        return f"{to} prefix to ip daddr map {{ 203.0.113.0/24 : 10.1.0.0/24, 192.0.2.0/24 : 10.2.0.0/24 }}"
    if kind == "range" and v == 4:
        return f"{proto} {to} to {target}:5000-5003"
    return f"{to} to {target}"


def _snat(r: Random, chain: _Chain, v: int) -> str:
    to = "snat" if chain.place.family != "inet" else f"snat {'ip' if v == 4 else 'ip6'}"
    source = r.choice(HOST[v])
    if chain.hook == "postrouting" or "postrouting" in chain.place.hooks:
        kind = r.choices(("masquerade", "ports", "snat", "snat port"), (5, 0.7, 3, 1))[0]
        if kind == "masquerade":
            return "masquerade"
        if kind == "ports":
            return f"meta l4proto {{ tcp, udp }} masquerade to :{r.choice((61000, 61001))}"
    else:
        kind = r.choice(("snat", "snat port"))
    if kind == "snat port":
        return f"meta l4proto {{ tcp, udp }} {to} to {source if v == 4 else f'[{source}]'}:{r.choice((62000, 62001))}"
    return f"{to} to {source}"
