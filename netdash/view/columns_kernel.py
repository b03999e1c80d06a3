"""The views of what the kernel keeps: routes with the policy rules, links with the neighbours, and what loses
packets."""

from __future__ import annotations

from collections.abc import Callable

from netdash.join.drops import drops, finding_of, kept_apart, leads_to, networks_of
from netdash.join.rates import UNTOLD, link_rate
from netdash.kernel.lost_packets import LOST
from netdash.model.host import Container, Host, Link, Neighbour, PolicyRule, Route, Rule
from netdash.model.index import Index, by_table, index_of
from netdash.model.kernel_state import Drop, DropKind
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.view import formatting, marks, rates
from netdash.view.formatting import NOTHING, UNKNOWN
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Line, Span, Tone, clean

# --- routes -----------------------------------------------------------------------------------------------------------


def _routes(host: Host) -> Rows:
    return Rows(by_table(host.routes, host.policy), lambda record: _route_or_policy(host, record))


def _route_or_policy(host: Host, record: Route | PolicyRule) -> Row:
    return _policy(host, record) if isinstance(record, PolicyRule) else _route(host, record)


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


def _route(host: Host, route: Route) -> Row:
    via, names = gateways(route), devices(route)
    first = route.gateway or next((ip for ip, _ in route.hops if ip), None)
    kind = "" if route.kind == "unicast" else route.kind
    cells = (
        Span(destination(route), Tone.KEY if route.table == "main" else Tone.PLAIN),
        Span(via, Tone.PLAIN, address_ref(first) if first else None) if via else NOTHING,
        Span(clean(", ".join(names)), Tone.PLAIN, formatting.link_ref(names[0])) if names else NOTHING,
        formatting.address(route.prefsrc) if route.prefsrc else NOTHING,
        Span(str(route.metric), Tone.DIM),
        Span(clean(route.table), Tone.DIM if route.table in ("main", "local") else Tone.PLAIN),
        Span("no carrier" if route.linkdown and not kind else clean(kind), Tone.WARN if route.linkdown else Tone.PLAIN),
        Span(clean(route.protocol or ""), Tone.DIM),
    )
    address = int(route.dst.network_address)
    sort = (
        (route.family, address, route.dst.prefixlen),
        int(first) if first else None,
        cells[2].text,
        int(route.prefsrc) if route.prefsrc else None,
        route.metric,
        route.table,
        cells[6].text,
        cells[7].text,
    )
    return marks.marked(host, route, cells, sort)


def _policy(host: Host, rule: PolicyRule) -> Row:
    cells = (
        Span(clean(rule.text.removesuffix(f" lookup {rule.table}")) + (" (IPv6)" if rule.family == 6 else "")),
        NOTHING,
        NOTHING,
        NOTHING,
        Span(str(rule.priority), Tone.DIM),
        Span(clean(rule.table)) if rule.table else NOTHING,
        Span("policy rule", Tone.DIM),
        NOTHING,
    )
    sort = ((9, rule.family, rule.priority), None, None, None, rule.priority, rule.table, cells[6].text, None)
    return marks.marked(host, rule, cells, sort)


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
    sources=(Source.ROUTES,),
    rows=_routes,
    empty="no routes",
    known=lambda host: host.routes is not None,
)

# --- links and neighbours ---------------------------------------------------------------------------------------------


def _links(host: Host) -> Rows:
    index = index_of(host)
    return Rows([*(host.links or ()), *(host.neighbours or ())], lambda record: _link_or_neighbour(host, index, record))


def _link_or_neighbour(host: Host, index: Index, record: Link | Neighbour) -> Row:
    return _link(host, index, record) if isinstance(record, Link) else _neighbour(host, index, record)


def _link(host: Host, index: Index, link: Link) -> Row:
    container = index.veths.get(link.name)
    rate = link_rate(host, link) or UNTOLD
    cells = (
        Span(clean(link.name), Tone.KEY, ref_of(link)),
        Span(clean(link.kind or "device"), Tone.PLAIN),
        link_state(link),
        Span(clean(link.master), Tone.PLAIN, formatting.link_ref(link.master)) if link.master else NOTHING,
        Span(", ".join(map(str, link.addresses)), Tone.PLAIN, address_ref(link.addresses[0].ip))
        if link.addresses
        else NOTHING,
        _owner(host, index, link, container),
        formatting.UNKNOWN if link.mtu is None else Span(str(link.mtu), Tone.DIM),
        Span(clean(link.mac or ""), Tone.DIM),
        *rates.cells(rate),
    )
    address = int(link.addresses[0].ip) if link.addresses else None
    name = container.name.casefold() if container else None
    sort: tuple[object, ...] = (
        link.name,
        cells[1].text,
        cells[2].text,
        cells[3].text,
        address,
        name,
        link.mtu,
        link.mac,
    )
    sort = (*sort, *rates.sort(rate))
    return marks.marked(host, link, cells, sort)


def _owner(host: Host, index: Index, link: Link, container: Container | None) -> Span:
    """Whose the other end is. Of a bridge's port that is nobody's it is not known while a running container on that
    bridge has no port yet."""
    if link.kind != "veth" or link.master is None:
        return formatting.owner(host, container) if container else NOTHING
    if container is None and link.master in index.bridges_with_unknown_ports:
        return formatting.unknown(host, Source.LINKS)
    return formatting.owner(host, container)


def link_state(link: Link) -> Span:
    """Glyph and the kernel's word; a bridge without ports and a loopback say UNKNOWN and DOWN by nature."""
    if not link.up:
        return Span("○ off", Tone.DIM)
    word = link.state.lower()
    if word in ("up", "unknown"):
        return Span("● up", Tone.GOOD)
    return Span(f"○ {clean(word)}", Tone.WARN)


def _neighbour(host: Host, index: Index, neighbour: Neighbour) -> Row:
    container = index.owners.get(neighbour.ip)
    gone = neighbour.state.upper() in ("FAILED", "INCOMPLETE")
    cells = (
        Span(str(neighbour.ip), Tone.KEY, address_ref(neighbour.ip)),
        Span("neighbour", Tone.DIM),
        Span(f"{'○' if gone else '●'} {clean(neighbour.state.lower())}", Tone.WARN if gone else Tone.PLAIN),
        Span(clean(neighbour.dev), Tone.PLAIN, formatting.link_ref(neighbour.dev)),
        NOTHING,
        formatting.owner(host, container),
        NOTHING,
        Span(clean(neighbour.mac or ""), Tone.DIM),
        *rates.BLANK,
    )
    name = container.name.casefold() if container else None
    sort = (
        f"~{neighbour.ip.version}{int(neighbour.ip):040}",
        "neighbour",
        cells[2].text,
        neighbour.dev,
        None,
        name,
        None,
        neighbour.mac,
        *rates.UNSORTED,
    )
    return marks.marked(host, neighbour, cells, sort)


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
        *rates.COLUMNS,
    ),
    sources=(Source.LINKS, Source.NEIGHBOURS),
    rows=_links,
    empty="no links",
    known=lambda host: host.links is not None,
)


def _drops(host: Host) -> Rows:
    return Rows(drops(host), row_of(host))


def row_of(host: Host) -> Callable[[Drop], Row]:
    return lambda drop: _drop(host, drop)


def _drop(host: Host, drop: Drop) -> Row:
    finding = finding_of(host, drop)
    ref = leads_to(host, drop)
    networks = [clean(network.name, 60) for network in networks_of(host, drop)]
    cells = (
        rate(drop),
        UNKNOWN if drop.count is None else Span(formatting.short_number(drop.count)),
        Span(kind(drop), Tone.DIM if drop.kind is DropKind.UNREAD else Tone.PLAIN),
        Span(place(drop), Tone.KEY, ref),
        Span(what(host, drop), Tone.DIM if drop.count is None else Tone.PLAIN, ref),
        Span(", ".join(networks)) if networks else NOTHING,
        NOTHING if finding is None else Span(clean(finding.code), Tone.WARN, ref_of(finding)),
    )
    sort = (drop.rate, drop.count, cells[2].text, cells[3].text, cells[4].text, cells[5].text, cells[6].text)
    tags = ("moving",) if drop.moving else ()
    return Row(ref_of(drop), cells, sort, _lead(drop, finding is not None), tags)


def _lead(drop: Drop, found: bool) -> Span:
    if found:
        return Span("!", Tone.WARN)
    if drop.count is None:
        return Span("?", Tone.UNKNOWN)
    return Span("·" if drop.moving else " ", Tone.KEY)


def rate(drop: Drop) -> Span:
    """Unknown in a single reading, and where there is nothing to compare."""
    if drop.rate is None:
        return UNKNOWN
    return Span(formatting.rate(drop.rate) or "0", Tone.KEY if drop.moving else Tone.DIM)


def kind(drop: Drop) -> str:
    return drop.place.target.verb.name if isinstance(drop.place, Rule) else str(drop.kind)


def place(drop: Drop) -> str:
    """Where packets are lost: a rule, a chain, a device, else the counter by its name."""
    if isinstance(drop.place, Rule):
        return clean(drop.place.place)
    if drop.place is not None:
        prefix = "" if drop.place.family == "ip" else f"{drop.place.family} "
        return clean(f"{prefix}{drop.place.table}/{drop.place.name}")
    return clean(f"{drop.device} {drop.name}".strip(), 60)


def what(host: Host, drop: Drop) -> str:
    """What was lost there, or why that is not known."""
    if drop.why:
        return clean(drop.why, 200)
    if isinstance(drop.place, Rule):
        body, apart = clean(formatting.rule_body(drop.place), 300), kept_apart(host, drop.place)
        if apart is None:
            return body
        name = clean(apart.name, 60)
        return f"{body}: keeps {f'the internal {name} apart' if apart.internal else f'other networks from {name}'}"
    return "no rule of the chain decided, and its policy drops" if drop.place is not None else LOST[drop.name][1]


def notes(host: Host) -> list[str]:
    """What the list does not tell by itself."""
    return [] if host.live else ["a recording has one reading: whether a counter moves is not known"]


def change(host: Host, drop: Drop) -> Line:
    """A line of `--watch`."""
    when = "" if host.taken is None else formatting.time_of_day(host.taken)
    finding = finding_of(host, drop)
    names = ", ".join(clean(network.name, 60) for network in networks_of(host, drop))
    return (
        Span(f"{when} "),
        Span(f"{formatting.rate(drop.rate):>8}", Tone.KEY),
        Span(f"  {kind(drop)} {place(drop)}  {what(host, drop)}"),
        Span(f"  {drop.count} packets{f', networks {names}' if names else ''}", Tone.DIM),
        Span("" if finding is None else f"  {clean(finding.code)}", Tone.WARN),
    )


DROPS = View(
    name="drops",
    title="Drops",
    short="Drop",
    digit="D",
    kind="drop",
    columns=(
        Column("rate", "NOW", right=True, most=8),
        Column("packets", "PACKETS", right=True, most=7),
        Column("kind", "BY", leaves=3, most=9),
        Column("where", "WHERE", most=40, least=18, middle=True),
        Column("what", "WHAT", most=100, least=28),
        Column("networks", "NETWORKS", leaves=2, most=24, least=8),
        Column("finding", "FINDING", leaves=1, most=24, least=10),
    ),
    sources=(Source.RULES, Source.DROPS),
    rows=_drops,
    empty="no counter of a lost packet is above 0",
    known=lambda host: host.counters is not None or host.ruleset is not None,
    keeps=2,
)
