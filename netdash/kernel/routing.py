"""Which route a packet takes: policy rules, tables, longest prefix, metric. Asks nothing; reads the Host's routes
(ip-rule(8), ip-route(8))."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address

from netdash.kernel.source_address import source_address
from netdash.model.addresses import subnet
from netdash.model.host import IP, Link, PolicyRule, Route
from netdash.model.numbers import decimal
from netdash.model.records import dataclass, field

OUTSIDE: dict[int, IP] = {4: ip_address("1.1.1.1"), 6: ip_address("2606:4700:4700::1111")}
"""Stands for "somebody on the Internet" in a question to routes and rules. Nothing is ever sent there."""

_STOPS = ("blackhole", "unreachable", "prohibit")


Port = int | tuple[int, int] | None
"""One, one of a range (first, last), or not known."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What the routes are asked for (struct flowi). None is "not known"; `iif` "lo" of what this host sends, `oif` ""
    where the socket is bound to no device, `proto` "" where the look-up names none."""

    dst: IP
    src: IP | None = None
    iif: str | None = "lo"
    oif: str = ""
    mark: int | None = 0
    proto: str | None = None
    sport: Port = None
    dport: Port = None
    uid: int | None = 0  # of the socket; 0 of what is forwarded or comes in (ip_route_input_slow, sock_net_uid)
    tos: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """What the look-up asks beside routes and rules."""

    no_carrier: frozenset[str] = frozenset()  # devices without one whose routes ignore_routes_with_linkdown passes by
    groups: tuple[tuple[str, str], ...] = ()  # (device, its group)
    vrf: bool = False  # whether this host has VRF devices
    unreachable: frozenset[tuple[IP, str]] = frozenset()  # neighbours that do not answer (IPv6 prefers other routers)


_PLAIN = Situation()


@dataclass(frozen=True, slots=True)
class Lookup:
    """`route` None: nothing leads there. `unsure`: a policy rule that may decide otherwise, and cannot be told.
    `refused`: the policy rule that ends the search (blackhole, unreachable, prohibit)."""

    route: Route | None
    unsure: tuple[PolicyRule, ...] = ()
    refused: PolicyRule | None = field(default=None)


def look_up(
    dst: IP, src: IP | None, iif: str | None, routes: tuple[Route, ...], policy: tuple[PolicyRule, ...] | None
) -> Lookup:
    """The route for an unmarked packet from `src` that came in by `iif` (None: from this host)."""
    return find(Flow(dst, src, iif or "lo"), routes, policy)


def find(
    flow: Flow,
    routes: tuple[Route, ...],
    policy: tuple[PolicyRule, ...] | None,
    supposed: Callable[[PolicyRule], bool] = lambda _: False,
    here: Situation = _PLAIN,
) -> Lookup:
    """The route of this flow (fib_rules_lookup, fib_table_lookup). `supposed` is asked whether a rule applies that
    cannot be told and would make a difference."""
    tables = _tables(routes)
    unsure: list[PolicyRule] = []
    rules, at = _rules(policy, flow.dst.version), 0
    while at < len(rules):
        rule = rules[at]
        at += 1
        answer = _selects(rule, flow, here)
        if answer is False:
            continue
        route = tables.best(flow, rule, here) if rule.table else None
        if answer is None:
            if route is None and rule.table is not None:
                continue
            unsure.append(rule)
            if not supposed(rule):
                continue
        if rule.table is None:
            action = rule.text.rpartition(" ")[2]
            if action in _STOPS:
                return Lookup(None, tuple(unsure), rule)
            at = _after(rule, rules, at, unsure)
        elif route is not None and route.kind != "throw":
            return Lookup(route, tuple(unsure))
    return Lookup(None, tuple(unsure))


def _after(rule: PolicyRule, rules: tuple[PolicyRule, ...], at: int, unsure: list[PolicyRule]) -> int:
    """Where the search goes on after a rule without a table: goto and nop; others are not understood (l3mdev)."""
    *_, before, action = ("", *rule.text.split())
    aim = decimal(action) if before == "goto" else None
    if aim is not None:
        return next((i for i, rule in enumerate(rules) if rule.priority >= aim), len(rules))
    if action != "nop":
        unsure.append(rule)
    return at


_USUAL = {
    family: tuple(
        PolicyRule(family, number, "", table, ())
        for number, table in ((0, "local"), (32766, "main"), (32767, "default"))
    )
    for family in (4, 6)
}


def usual_rules(family: int) -> tuple[PolicyRule, ...]:
    """Those that every namespace begins with."""
    return _USUAL[family]


@lru_cache(maxsize=64)
def _rules(policy: tuple[PolicyRule, ...] | None, family: int) -> tuple[PolicyRule, ...]:
    return tuple(rule for rule in policy or () if rule.family == family) or _USUAL[family]


def address_type(ip: IP, routes: tuple[Route, ...], device: str | None = None) -> str:
    """What the local table says of an address: LOCAL, BROADCAST, MULTICAST … else UNICAST (inet_addr_type); with a
    device, only of routes by that one."""
    kind, dev = _tables(routes).type_of(ip)
    return kind if device in (None, dev) or dev is None else "UNICAST"


_EVERYBODY = ip_address("255.255.255.255")
_LOCAL = PolicyRule(4, 0, "", "local", ())


def stops(route: Route) -> bool:
    """Whether the route is there to refuse."""
    return route.kind in _STOPS


_REMEMBERED = 4096  # addresses


class _Tables:
    """Routes by family, table, prefix length and network."""

    __slots__ = ("_lengths", "_nets", "_types", "routes")

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes  # kept alive: the cache below knows it by its identity
        self._nets: dict[tuple[int, str, int, int], list[Route]] = {}
        lengths: dict[tuple[int, str], set[int]] = {}
        for route in routes:
            length = route.dst.prefixlen
            self._nets.setdefault((route.family, route.table, length, int(route.dst.network_address)), []).append(route)
            lengths.setdefault((route.family, route.table), set()).add(length)
        self._lengths = {key: sorted(found, reverse=True) for key, found in lengths.items()}
        self._types: dict[tuple[int, int], tuple[str, str | None]] = {}

    def type_of(self, ip: IP) -> tuple[str, str | None]:
        """The type of an address, and the device of the route that says so; remembered, as each packet asks at each
        hook."""
        key = ip.version, int(ip)
        known = self._types.get(key)
        if known is None:
            if len(self._types) >= _REMEMBERED:
                self._types.clear()
            known = self._types[key] = self._type_of(ip)
        return known

    def _type_of(self, ip: IP) -> tuple[str, str | None]:
        if ip.is_multicast:
            return "MULTICAST", None
        if ip.is_unspecified or ip == _EVERYBODY:
            return ("BROADCAST" if ip.version == 4 else "UNSPEC"), None
        route = self.best(Flow(ip), _LOCAL, _PLAIN)
        return ("UNICAST", None) if route is None else (route.kind.upper(), route.dev or "")

    def best(self, flow: Flow, rule: PolicyRule, here: Situation) -> Route | None:
        """The longest prefix's route of the lowest metric by a device that the flow may use; of equals, the first. What
        a rule suppresses is looked for no further (fib4_rule_suppress, fib6_rule_suppress)."""
        family, table, number = flow.dst.version, rule.table or "", int(flow.dst)
        bits = 32 if family == 4 else 128
        for length in self._lengths.get((family, table), ()):
            found = self._nets.get((family, table, length, number >> (bits - length) << (bits - length)))
            if found is None:
                continue
            usable = [route for route in found if _usable(route, flow, here)]
            if usable:
                best = min(usable, key=lambda route: _rank(route, here)) if len(usable) > 1 else usable[0]
                return None if _suppressed(rule, best, here) else best
        return None


def _usable(route: Route, flow: Flow, here: Situation) -> bool:
    """fib_table_lookup and rt6_find_match: a route is passed by when its device is dead, when it is for another type
    of service or source, and when the flow may not use its device. One without carrier is used all the same, unless
    ignore_routes_with_linkdown says otherwise."""
    if route.dead or (route.tos not in (0, None) and route.tos != flow.tos):
        return False
    if route.src is not None and route.src.prefixlen and (flow.src is None or flow.src not in route.src):
        return False
    devices = _devices(route)
    if flow.oif and flow.oif not in devices:
        return False
    return not here.no_carrier or not devices or not all(device in here.no_carrier for device in devices)


def _rank(route: Route, here: Situation) -> tuple[int, ...]:
    """Lower is taken first. IPv4 asks routes for a type of service first (fib_insert_alias); IPv6 those for the nearer
    source, and of equal metric the router that answers and is preferred (rt6_score_route, RFC 4191)."""
    if route.family == 4:
        return -(route.tos or 0), route.metric
    source = -route.src.prefixlen if route.src is not None else 0
    silent = (route.gateway, route.dev) in here.unreachable
    return source, route.metric, int(silent), _PREFERENCE.get(route.pref, 1)


_PREFERENCE = {"high": 0, "medium": 1, "low": 2}


def _devices(route: Route) -> tuple[str | None, ...]:
    return (route.dev,) if route.dev else tuple(dev for _, dev in route.hops)


def _suppressed(rule: PolicyRule, route: Route, here: Situation) -> bool:
    if not rule.selectors:
        return False
    selectors = dict(rule.selectors)
    limit = decimal(selectors.get("suppress_prefixlength", ""))
    if limit is not None and route.dst.prefixlen <= limit:
        return True
    group = selectors.get("suppress_ifgroup")
    return group is not None and (device_of(route) or "", group) in here.groups


_KEPT: dict[int, _Tables] = {}
_FEW = 64  # namespaces


def _tables(routes: tuple[Route, ...]) -> _Tables:
    """Built once for each tuple of routes, by its identity; the last few are kept, and keep it alive."""
    known = _KEPT.get(id(routes))
    if known is None:
        for oldest in list(_KEPT)[: len(_KEPT) - _FEW + 1]:
            _KEPT.pop(oldest, None)
        known = _KEPT[id(routes)] = _Tables(routes)
    return known


def _selects(rule: PolicyRule, flow: Flow, here: Situation) -> bool | None:
    """Whether the rule applies; None: cannot be told."""
    if rule.table is None and rule.text.endswith("l3mdev") and not here.vrf:
        return False  # no device of this host is in a VRF (l3mdev_fib_rule_match)
    if not rule.selectors:
        return True
    answers = [_selector(key, value, flow) for key, value in rule.selectors if key != "not"]
    answer = False if False in answers else None if None in answers else True
    if ("not", "") in rule.selectors:
        return None if answer is None else not answer
    return answer


def _selector(key: str, value: str, flow: Flow) -> bool | None:
    match key:
        case "src" | "dst":
            return _within(flow.dst if key == "dst" else flow.src, value)
        case "iif":
            return None if flow.iif is None else flow.iif == value
        case "oif":
            return flow.oif == value  # only sockets bound to a device have one before routing
        case "fwmark":
            return _marked(value, flow.mark)
        case "ipproto":
            return None if flow.proto is None else value in (flow.proto, _NUMBERS.get(flow.proto))
        case "sport" | "dport":
            if flow.proto in _PORTLESS:
                return False
            return _spans(value, flow.sport if key == "sport" else flow.dport)
        case "suppress_prefixlength" | "suppress_ifgroup":
            return True
        case _:
            return _rarer(key, value, flow)


def _rarer(key: str, value: str, flow: Flow) -> bool | None:
    if key == "tos":
        return int(value, 16) == flow.tos if re.fullmatch(r"0x[0-9a-f]+", value) else None
    return _spans(value, flow.uid) if key == "uidrange" else None


_PORTLESS = ("icmp", "ipv6-icmp", "")
_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1", "ipv6-icmp": "58"}


def _within(ip: IP | None, value: str) -> bool | None:
    net = subnet(value)
    return None if ip is None or net is None else ip in net


def _spans(value: str, port: Port) -> bool | None:
    low, _, high = value.partition("-")
    first, last = decimal(low), decimal(high or low)
    if port is None or first is None or last is None:
        return None
    least, most = port if isinstance(port, tuple) else (port, port)
    if first <= least and most <= last:
        return True
    return False if most < first or last < least else None


def _marked(value: str, mark: int | None) -> bool | None:
    wanted, _, mask = value.partition("/")
    try:
        bits = int(mask or "0xffffffff", 0)
        return None if mark is None else mark & bits == int(wanted, 0) & bits
    except ValueError:
        return None


def device_of(route: Route) -> str | None:
    """By which it leaves; of several next hops, the first's."""
    return route.dev or next((dev for _, dev in route.hops if dev), None)


def uplink(
    family: int, links: tuple[Link, ...] | None, routes: tuple[Route, ...] | None
) -> tuple[str | None, IP | None]:
    """The device of the main table's best default route, and its first global address; None where there is none."""
    defaults = [
        route
        for route in routes or ()
        if route.family == family and route.default and route.table == "main" and route.kind == "unicast" and route.dev
    ]
    if not defaults:
        return None, None
    device = min(defaults, key=lambda route: (route.linkdown, route.metric)).dev
    link = next((link for link in links or () if link.name == device), None)
    return device, source_address(link, None, family)


def uplinks_of(family: int, routes: tuple[Route, ...] | None) -> tuple[str, ...]:
    """The devices that lead to other networks: those with a gateway, in the order of the routes."""
    found: dict[str, None] = {}
    for route in routes or ():
        if route.family == family and route.kind == "unicast" and not route.dead:
            found |= dict.fromkeys(dev for gateway, dev in ((route.gateway, route.dev), *route.hops) if gateway and dev)
    return tuple(found)


def entrance(
    family: int, links: tuple[Link, ...] | None, routes: tuple[Route, ...] | None
) -> tuple[str | None, IP | None]:
    """By which device, and to which address, packets from elsewhere come: the uplink, or without a default route the
    only device of its own that has an address."""
    device, ip = uplink(family, links, routes)
    if device is not None:
        return device, ip
    outer = [
        (link.name, own)
        for link in links or ()
        if link.kind not in _INNER
        and not link.master
        and (own := source_address(link, None, family)) is not None
        and not own.is_loopback
    ]
    return outer[0] if len(outer) == 1 else (None, None)


_INNER = ("bridge", "macvlan", "ipvlan", "dummy")
