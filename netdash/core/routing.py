"""Which route a forwarded packet takes: policy rules, tables, longest prefix, metric. Asks nothing; reads the Host's
routes (ip-rule(8), ip-route(8))."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from netdash.core.model import IP, Link, PolicyRule, Route

OUTSIDE: dict[int, IP] = {4: ip_address("1.1.1.1"), 6: ip_address("2606:4700:4700::1111")}
"""Stands for "somebody on the Internet" in a question to routes and rules. Nothing is ever sent there."""

_STOPS = ("blackhole", "unreachable", "prohibit")


@dataclass(frozen=True, slots=True)
class Lookup:
    """`route` None: nothing leads there. `unsure`: a policy rule that may decide otherwise, and cannot be told."""

    route: Route | None
    unsure: tuple[PolicyRule, ...] = ()


def look_up(
    dst: IP, src: IP | None, iif: str | None, routes: tuple[Route, ...], policy: tuple[PolicyRule, ...] | None
) -> Lookup:
    """The route for an unmarked packet from `src` that came in by `iif` (None: from this host)."""
    family = dst.version
    rules = [rule for rule in policy or () if rule.family == family]
    if not rules:
        rules = [
            PolicyRule(family, number, "", table, ()) for number, table in ((0, "local"), (1, "main"), (2, "default"))
        ]
    unsure: list[PolicyRule] = []
    for rule in rules:
        answer = _selects(rule, dst, src, iif)
        if answer is False:
            continue
        route = _best(dst, rule, routes) if rule.table else None
        if answer is None:
            if route is not None or rule.table is None:
                unsure.append(rule)
            continue
        if rule.table is None and rule.text.rpartition(" ")[2] in _STOPS:
            return Lookup(None, tuple(unsure))
        if route is not None and route.kind != "throw":
            return Lookup(route, tuple(unsure))
    return Lookup(None, tuple(unsure))


def stops(route: Route) -> bool:
    """Whether the route is there to refuse."""
    return route.kind in _STOPS


def _best(dst: IP, rule: PolicyRule, routes: tuple[Route, ...]) -> Route | None:
    found = [
        route for route in routes if route.family == dst.version and route.table == rule.table and dst in route.dst
    ]
    if not found:
        return None
    best = min(found, key=lambda route: (-route.dst.prefixlen, route.linkdown, route.metric))
    limit = dict(rule.selectors).get("suppress_prefixlength")
    return None if limit is not None and limit.isdigit() and best.dst.prefixlen <= int(limit) else best


def _selects(rule: PolicyRule, dst: IP, src: IP | None, iif: str | None) -> bool | None:
    """Whether the rule applies; None: cannot be told."""
    answers = [_selector(key, value, dst, src, iif) for key, value in rule.selectors if key != "not"]
    answer = False if False in answers else None if None in answers else True
    if ("not", "") in rule.selectors:
        return None if answer is None else not answer
    return answer


def _selector(key: str, value: str, dst: IP, src: IP | None, iif: str | None) -> bool | None:
    match key:
        case "src" | "dst":
            ip = dst if key == "dst" else src
            try:
                return None if ip is None else ip in ip_network(value, strict=False)
            except ValueError:
                return None
        case "iif":
            return (iif or "lo") == value
        case "oif":
            return False  # only sockets bound to a device have one before routing
        case "fwmark":
            return _zero_mark(value)
        case "suppress_prefixlength":
            return True
        case _:
            return None


def _zero_mark(value: str) -> bool | None:
    mark, _, mask = value.partition("/")
    try:
        return int(mark, 0) & int(mask or "0xffffffff", 0) == 0
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
    link = next((one for one in links or () if one.name == device), None)
    return device, source_address(link, None, family)


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


def source_address(link: Link | None, towards: IP | None, family: int) -> IP | None:
    """The address that MASQUERADE takes: the device's first in the next hop's subnet, else its first at all
    (nf_nat_masquerade.c, inet_select_addr); None when the device has none."""
    own = [one for one in (link.addresses if link else ()) if one.version == family and not one.ip.is_link_local]
    near = [one for one in own if towards is not None and towards in one.network]
    return (near or own)[0].ip if own else None
