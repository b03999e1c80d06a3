"""The views of what the kernel keeps: routes with the policy rules, links with the neighbours."""

from __future__ import annotations

from netdash.model.host import Container, Host, Link, Neighbour, PolicyRule, Route
from netdash.model.index import Index, by_table, index_of
from netdash.model.relations import address_ref, ref_of
from netdash.view import formatting
from netdash.view.formatting import NOTHING
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Span, Tone, clean

# --- routes -----------------------------------------------------------------------------------------------------------


def _routes(host: Host) -> Rows:
    return Rows(by_table(host.routes, host.policy), _route_or_policy)


def _route_or_policy(one: Route | PolicyRule) -> Row:
    return _policy(one) if isinstance(one, PolicyRule) else _route(one)


def destination(route: Route) -> str:
    """The destination as `ip route` prints it; IPv6's default is told apart."""
    if route.default:
        return "default" if route.family == 4 else "default (IPv6)"
    return str(route.dst.network_address) if route.dst.prefixlen == route.dst.max_prefixlen else str(route.dst)


def gateways(route: Route) -> str:
    """The next hop, or all of a multipath route; "" for a directly connected destination."""
    if route.gateway is not None:
        return str(route.gateway)
    return ", ".join(str(ip) if ip else clean(dev or "?") for ip, dev in route.hops)


def devices(route: Route) -> list[str]:
    return [route.dev] if route.dev else [dev for _, dev in route.hops if dev]


def _route(one: Route) -> Row:
    via, names = gateways(one), devices(one)
    first = one.gateway or next((ip for ip, _ in one.hops if ip), None)
    kind = "" if one.kind == "unicast" else one.kind
    cells = (
        Span(destination(one), Tone.KEY if one.table == "main" else Tone.PLAIN),
        Span(via, Tone.PLAIN, address_ref(first) if first else None) if via else NOTHING,
        Span(clean(", ".join(names)), Tone.PLAIN, formatting.link_ref(names[0])) if names else NOTHING,
        formatting.address(one.prefsrc) if one.prefsrc else NOTHING,
        Span(str(one.metric), Tone.DIM),
        Span(clean(one.table), Tone.DIM if one.table in ("main", "local") else Tone.PLAIN),
        Span("no carrier" if one.linkdown and not kind else clean(kind), Tone.WARN if one.linkdown else Tone.PLAIN),
        Span(clean(one.protocol or ""), Tone.DIM),
    )
    address = int(one.dst.network_address)
    sort = (
        (one.family, address, one.dst.prefixlen),
        int(first) if first else None,
        cells[2].text,
        int(one.prefsrc) if one.prefsrc else None,
        one.metric,
        one.table,
        cells[6].text,
        cells[7].text,
    )
    return Row(ref_of(one), cells, sort)


def _policy(one: PolicyRule) -> Row:
    cells = (
        Span(clean(one.text), Tone.PLAIN),
        NOTHING,
        NOTHING,
        NOTHING,
        Span(str(one.priority), Tone.DIM),
        Span(clean(one.table)) if one.table else NOTHING,
        Span("policy rule" if one.family == 4 else "policy rule, IPv6", Tone.DIM),
        NOTHING,
    )
    sort = ((9, one.family, one.priority), None, None, None, one.priority, one.table, cells[6].text, None)
    return Row(ref_of(one), cells, sort)


ROUTES = View(
    name="routes",
    title="Routes",
    short="Routes",
    digit="5",
    kind="route",
    columns=(
        Column("dst", "DESTINATION", most=40, least=18),
        Column("gateway", "VIA", most=26, least=15),
        Column("dev", "DEVICE", most=16, least=12),
        Column("prefsrc", "SOURCE", leaves=4, most=26, least=15),
        Column("metric", "METRIC", right=True, leaves=3, most=6),
        Column("table", "TABLE", leaves=1, most=10),
        Column("kind", "KIND", leaves=2, most=17, least=10),
        Column("protocol", "FROM", leaves=8, most=10),
    ),
    sources=("routes",),
    rows=_routes,
    empty="no routes",
    known=lambda host: host.routes is not None,
)

# --- links and neighbours ---------------------------------------------------------------------------------------------


def _links(host: Host) -> Rows:
    index = index_of(host)
    return Rows([*(host.links or ()), *(host.neighbours or ())], lambda one: _link_or_neighbour(host, index, one))


def _link_or_neighbour(host: Host, index: Index, one: Link | Neighbour) -> Row:
    return _link(host, index, one) if isinstance(one, Link) else _neighbour(host, index, one)


def _link(host: Host, index: Index, one: Link) -> Row:
    container = index.veths.get(one.name)
    cells = (
        Span(clean(one.name), Tone.KEY, ref_of(one)),
        Span(clean(one.kind or "device"), Tone.PLAIN),
        link_state(one),
        Span(clean(one.master), Tone.PLAIN, formatting.link_ref(one.master)) if one.master else NOTHING,
        Span(", ".join(map(str, one.addresses)), Tone.PLAIN, address_ref(one.addresses[0].ip))
        if one.addresses
        else NOTHING,
        _owner(host, index, one, container),
        formatting.UNKNOWN if one.mtu is None else Span(str(one.mtu), Tone.DIM),
        Span(clean(one.mac or ""), Tone.DIM),
    )
    address = int(one.addresses[0].ip) if one.addresses else None
    name = container.name.casefold() if container else None
    sort = (one.name, cells[1].text, cells[2].text, cells[3].text, address, name, one.mtu, one.mac)
    return Row(ref_of(one), cells, sort)


def _owner(host: Host, index: Index, one: Link, container: Container | None) -> Span:
    """Whose the other end is. Of a bridge's port that is nobody's it is not known while a running container on that
    bridge has no port yet."""
    if one.kind != "veth" or one.master is None:
        return formatting.owner(host, container) if container else NOTHING
    if container is None and one.master in index.bridges_with_unknown_ports:
        return formatting.unknown(host, "links")
    return formatting.owner(host, container)


def link_state(one: Link) -> Span:
    """Glyph and the kernel's word; a bridge without ports and a loopback say UNKNOWN and DOWN by nature."""
    if not one.up:
        return Span("○ off", Tone.DIM)
    word = one.state.lower()
    if word in ("up", "unknown"):
        return Span("● up", Tone.GOOD)
    return Span(f"○ {clean(word)}", Tone.WARN)


def _neighbour(host: Host, index: Index, one: Neighbour) -> Row:
    container = index.owners.get(one.ip)
    gone = one.state.upper() in ("FAILED", "INCOMPLETE")
    cells = (
        Span(str(one.ip), Tone.KEY, address_ref(one.ip)),
        Span("neighbour", Tone.DIM),
        Span(f"{'○' if gone else '●'} {clean(one.state.lower())}", Tone.WARN if gone else Tone.PLAIN),
        Span(clean(one.dev), Tone.PLAIN, formatting.link_ref(one.dev)),
        NOTHING,
        formatting.owner(host, container),
        NOTHING,
        Span(clean(one.mac or ""), Tone.DIM),
    )
    name = container.name.casefold() if container else None
    sort = (f"~{one.ip.version}{int(one.ip):040}", "neighbour", cells[2].text, one.dev, None, name, None, one.mac)
    return Row(ref_of(one), cells, sort)


LINKS = View(
    name="links",
    title="Links",
    short="Links",
    digit="7",
    kind="link",
    columns=(
        Column("name", "NAME", most=26, least=15, middle=True),
        Column("kind", "KIND", leaves=3, most=12),
        Column("state", "STATE", most=16),
        Column("master", "ON", leaves=1, most=16, least=12),
        Column("address", "ADDRESSES", most=40, least=18),
        Column("container", "CONTAINER", most=26, least=12, middle=True),
        Column("mtu", "MTU", right=True, leaves=7, most=6),
        Column("mac", "MAC", leaves=8, most=17),
    ),
    sources=("links", "neighbours"),
    rows=_links,
    empty="no links",
    known=lambda host: host.links is not None,
)
