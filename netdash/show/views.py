"""The list views: which columns each has and how a thing becomes a row. Pure: Host -> rows; no width, no colour."""

from __future__ import annotations

from netdash.core.model import Container, Endpoint, Host, Interface, Network, Port, Proxy, Ref, Rule
from netdash.core.related import address_ref, chain_ref, ref_of
from netdash.show import words
from netdash.show.index import Index, index_of
from netdash.show.spans import Span, Tone, clean
from netdash.show.table import Column, Row, Rows, View
from netdash.show.views_kernel import LINKS, ROUTES
from netdash.show.words import NOTHING, UNKNOWN

# --- containers -------------------------------------------------------------------------------------------------------


def _containers(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.containers or (), lambda one: _container(host, index, one))


def _container(host: Host, index: Index, one: Container) -> Row:
    own_ports = index.ports(one.id)
    cells = (
        Span(clean(one.name), Tone.KEY, ref_of(one)),
        words.state(one),
        Span(words.how_long(host, one), Tone.DIM),
        _addresses(one),
        _networks_cell(index, one),
        _bridges_cell(host, index, one),
        words.unknown(host, "docker") if host.ports is None else words.published(own_ports),
        Span(clean(one.compose), Tone.DIM) if one.compose else NOTHING,
        Span(clean(one.image), Tone.DIM),
    )
    since = one.started_at if one.running else one.finished_at
    first = next((int(end.ip) for end in _interfaces(one)), None)
    port = min((port.host_port for port in own_ports), default=None)
    sort = (
        one.name.casefold(),
        (not one.running, one.state),
        None if not since or host.taken is None else host.taken - since,
        first,
        cells[4].text,
        cells[5].text,
        port,
        cells[7].text,
        cells[8].text,
    )
    return Row(ref_of(one), cells, sort)


def _addresses(one: Container) -> Span:
    found = _interfaces(one)
    if found:
        return Span(", ".join(str(each.ip) for each in found), Tone.KEY, address_ref(found[0].ip))
    if one.shares_with:
        return Span(f"as {clean(one.shares_with)}", Tone.DIM)
    if one.network_mode == "host":
        return Span("host", Tone.DIM)
    if one.network_mode == "none":
        return Span("none", Tone.DIM)
    return UNKNOWN if one.running else NOTHING


def _interfaces(one: Container) -> list[Interface]:
    """One address of each network first, IPv4 where there is one; then the others."""
    first = [end.addresses[0] for end in one.endpoints if end.addresses]
    return first + [each for end in one.endpoints for each in end.addresses[1:]]


def _networks_cell(index: Index, one: Container) -> Span:
    ends = [end for end in one.endpoints if end.network not in ("host", "none")]
    if not ends:
        return NOTHING
    network = index.network(ends[0])
    ref = ref_of(network) if network else Ref("network", ends[0].network_id)
    return Span(", ".join(clean(end.network) for end in ends), Tone.PLAIN, ref)


def _bridges_cell(host: Host, index: Index, one: Container) -> Span:
    ends = [end for end in one.endpoints if end.network not in ("host", "none")]
    if ends and host.networks is None:
        return words.unknown(host, "docker")
    names = [_device(index, end) for end in ends]
    known = [name for name in names if name]
    if not known:
        return NOTHING
    return Span(", ".join(clean(name) for name in known), Tone.PLAIN, words.link_ref(known[0]))


def _device(index: Index, end: Endpoint) -> str | None:
    """The bridge; for macvlan and ipvlan the parent device."""
    network = index.network(end)
    return (network.bridge or network.parent) if network else None


# --- ports ------------------------------------------------------------------------------------------------------------


def _ports(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.ports or (), lambda one: _port(host, index, one))


def _port(host: Host, index: Index, one: Port) -> Row:
    container = index.containers.get(one.container_id or "")
    rule = one.dnat
    cells = (
        Span(str(one.host_port), Tone.KEY if one.live else Tone.DIM),
        Span(clean(one.proto)),
        words.address(one.host_ip),
        Span(words.scope_word(one.scope), Tone.DIM),
        Span(clean(container.name), Tone.KEY, ref_of(container)) if container else NOTHING,
        _target(one),
        _holder(host, one),
        _dnat(host, one),
        words.count(rule.packets) if rule else NOTHING,
        _listening(one),
    )
    holder = one.holder.pid if one.holder else None
    sort = (
        one.host_port,
        one.proto,
        int(one.host_ip),
        cells[3].text,
        container.name.casefold() if container else None,
        int(one.target_ip) if one.target_ip else None,
        holder,
        rule.place if rule else None,
        rule.packets if rule else None,
        cells[9].text,
    )
    return Row(ref_of(one), cells, sort)


def _target(one: Port) -> Span:
    if one.target_ip is not None:
        return Span(words.socket_text(one.target_ip, one.container_port), Tone.PLAIN, address_ref(one.target_ip))
    if not one.live:
        return Span(f"(→{one.container_port})", Tone.DIM)
    return UNKNOWN if one.container_id and not _own_socket(one) else NOTHING


def _own_socket(one: Port) -> bool:
    """Whether a host-network container or a plain process holds it: nothing is translated."""
    return one.holder is not None and one.holder.kind == "process" and one.dnat is None and one.proxy is None


def _holder(host: Host, one: Port) -> Span:
    """Who has the host's port: a process with its pid, a rule alone, or nobody."""
    holder = one.holder
    if holder is None:
        return words.unknown(host, "listeners")
    if holder.kind == "nobody":
        return Span("nobody", Tone.DIM)
    if holder.kind == "rule":
        return Span("rule only", Tone.DIM)
    name = clean(holder.command or holder.kind, 40)
    ref = ref_of(one.proxy) if one.proxy and one.proxy.pid == holder.pid else None
    return Span(f"{name} {holder.pid}" if holder.pid else name, Tone.PLAIN, ref)


def _dnat(host: Host, one: Port) -> Span:
    if one.dnat is not None:
        return Span(one.dnat.place, Tone.PLAIN, ref_of(one.dnat))
    if host.ruleset is None:
        return words.unknown(host, "rules")
    return NOTHING if host.ruleset.complete else UNKNOWN


def _listening(one: Port) -> Span:
    if not one.live:
        return Span("not running", Tone.DIM)
    if one.listening is None:
        return UNKNOWN
    if not one.listening:
        return Span("○ nobody", Tone.BAD)
    return Span(f"● {clean(one.listener, 24)}" if one.listener else "● yes", Tone.GOOD)


# --- networks ---------------------------------------------------------------------------------------------------------


def _networks(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.networks or (), lambda one: _network(index, one))


def _network(index: Index, one: Network) -> Row:
    device = one.bridge or one.parent
    members = index.members.get(one.id, 0)
    cells = (
        Span(clean(one.name), Tone.KEY, ref_of(one)),
        Span(clean(one.driver)),
        Span(clean(device), Tone.PLAIN, words.link_ref(device)) if device else NOTHING,
        Span(", ".join(map(str, one.subnets)), Tone.KEY) if one.subnets else NOTHING,
        Span(", ".join(map(str, one.gateways)), Tone.PLAIN, address_ref(one.gateways[0])) if one.gateways else NOTHING,
        Span(str(members)),
        Span(words.network_flags(one), Tone.WARN) if words.network_flags(one) else NOTHING,
        Span(clean(one.compose), Tone.DIM) if one.compose else NOTHING,
    )
    subnet = int(one.subnets[0].network_address) if one.subnets else None
    gateway = int(one.gateways[0]) if one.gateways else None
    sort = (
        one.name.casefold(),
        one.driver,
        cells[2].text,
        subnet,
        gateway,
        members,
        cells[6].text,
        cells[7].text,
    )
    return Row(ref_of(one), cells, sort)


# --- rules ------------------------------------------------------------------------------------------------------------


def _rules(host: Host) -> Rows:
    return Rows(host.ruleset.rules if host.ruleset else (), _rule)


def _rule(one: Rule) -> Row:
    text = words.rule_body(one)
    if one.not_understood:
        text = f"{text}  (not interpreted: {clean(', '.join(one.not_understood), 80)})"
    table, packets = words.table_of(one), one.packets
    cells = (
        Span(clean(table)),
        Span(clean(one.chain), Tone.KEY, chain_ref(one)),
        Span(str(one.position), Tone.DIM),
        _action(one),
        NOTHING if packets is None else Span(words.short_number(packets)),
        Span(words.rate(one.rate), Tone.GOOD),
        Span(text),
        Span(words.backend_name(one.backend), Tone.DIM),
    )
    place = (table, one.chain, one.position)
    sort = (place, (one.chain, *place), one.position, cells[3].text, packets, one.rate, text, one.backend)
    return Row(ref_of(one), cells, sort)


_VERBS = {"drop": Tone.BAD, "reject": Tone.BAD, "other": Tone.UNKNOWN}


def _action(one: Rule) -> Span:
    tone = _VERBS.get(one.target.verb.value, Tone.PLAIN)
    target = one.target
    if target.chain:
        ref = Ref("chain", f"{one.backend} {one.family} {one.table} {target.chain}")
        return Span(clean(words.action(one)), tone, ref)
    return Span(words.action(one), tone, address_ref(target.address) if target.address else None)


# --- proxies ----------------------------------------------------------------------------------------------------------


def _proxies(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.proxies or (), lambda one: _proxy(index, one))


def _proxy(index: Index, one: Proxy) -> Row:
    owner = index.owners.get(one.container_ip)
    sockets = None if one.listeners is None else len(one.listeners)
    cells = (
        Span(str(one.pid), Tone.KEY, ref_of(one)),
        Span(clean(one.command, 40)),
        Span(clean(one.proto)),
        Span(words.socket_text(one.host_ip, one.host_port), Tone.PLAIN, Ref("port", _key(one))),
        Span(words.socket_text(one.container_ip, one.container_port), Tone.PLAIN, address_ref(one.container_ip)),
        Span(clean(owner.name), Tone.KEY, ref_of(owner)) if owner else NOTHING,
        UNKNOWN if one.rss is None else Span(words.short_bytes(one.rss)),
        UNKNOWN if sockets is None else Span(str(sockets), Tone.PLAIN if sockets else Tone.BAD),
    )
    name = owner.name.casefold() if owner else None
    sort = (
        one.pid,
        one.command,
        one.proto,
        one.host_port,
        int(one.container_ip),
        name,
        one.rss,
        sockets,
    )
    return Row(ref_of(one), cells, sort)


def _key(one: Proxy) -> str:
    return f"{one.proto}/{one.host_ip}/{one.host_port}"


# --- the list of views ------------------------------------------------------------------------------------------------

VIEWS: tuple[View, ...] = (
    View(
        name="containers",
        title="Containers",
        short="Ctr",
        digit="1",
        kind="container",
        columns=(
            Column("name", "NAME", most=28),
            Column("state", "STATE", most=24),
            Column("for", "FOR", leaves=6, most=8),
            Column("address", "ADDRESS", most=33),
            Column("network", "NETWORK", leaves=1, most=22),
            Column("bridge", "BRIDGE", leaves=8, most=16),
            Column("published", "PUBLISHED", most=36),
            Column("compose", "COMPOSE", leaves=7, most=16),
            Column("image", "IMAGE", leaves=9, most=30),
        ),
        sources=("docker",),
        rows=_containers,
        empty="no containers yet",
        known=lambda host: host.containers is not None,
    ),
    View(
        name="ports",
        title="Ports",
        short="Ports",
        digit="2",
        kind="port",
        columns=(
            Column("port", "PORT", right=True, most=5),
            Column("proto", "PROTO", most=5),
            Column("bind", "BIND", most=26),
            Column("scope", "SCOPE", leaves=9, most=11),
            Column("container", "CONTAINER", most=24),
            Column("target", "TARGET", most=26),
            Column("holder", "HELD BY", leaves=3, most=22),
            Column("rule", "RULE", leaves=6, most=26),
            Column("packets", "PACKETS", right=True, leaves=7, most=7),
            Column("listening", "LISTENING", leaves=1, most=14),
        ),
        sources=("docker", "listeners", "rules", "proxies"),
        rows=_ports,
        empty="no port of this host is in use",
        known=lambda host: host.ports is not None,
    ),
    View(
        name="networks",
        title="Networks",
        short="Net",
        digit="3",
        kind="network",
        columns=(
            Column("name", "NAME", most=26),
            Column("driver", "DRIVER", leaves=4, most=10),
            Column("bridge", "BRIDGE", most=16),
            Column("subnet", "SUBNET", most=34),
            Column("gateway", "GATEWAY", leaves=5, most=26),
            Column("containers", "CONTAINERS", right=True, leaves=1, most=10),
            Column("flags", "FLAGS", leaves=3, most=34),
            Column("compose", "COMPOSE", leaves=8, most=16),
        ),
        sources=("docker",),
        rows=_networks,
        empty="no networks",
        known=lambda host: host.networks is not None,
    ),
    View(
        name="rules",
        title="Rules",
        short="Rules",
        digit="4",
        kind="rule",
        columns=(
            Column("table", "TABLE", most=20),
            Column("chain", "CHAIN", most=26),
            Column("rule", "#", right=True, most=5),
            Column("action", "ACTION", most=28),
            Column("packets", "PACKETS", right=True, leaves=2, most=7),
            Column("rate", "RATE", right=True, leaves=4, most=8),
            Column("text", "RULE", leaves=1, most=90),
            Column("backend", "BACKEND", leaves=8, most=7),
        ),
        sources=("rules",),
        rows=_rules,
        empty="no rules",
        known=lambda host: host.ruleset is not None,
    ),
    ROUTES,
    View(
        name="proxies",
        title="Proxies",
        short="Proxy",
        digit="6",
        kind="proxy",
        columns=(
            Column("pid", "PID", right=True, most=8),
            Column("command", "COMMAND", leaves=6, most=16),
            Column("proto", "PROTO", most=5),
            Column("bind", "BIND", most=28),
            Column("target", "TARGET", most=28),
            Column("container", "CONTAINER", most=26),
            Column("memory", "MEMORY", right=True, leaves=3, most=9),
            Column("sockets", "SOCKETS", right=True, leaves=4, most=7),
        ),
        sources=("proxies",),
        rows=_proxies,
        empty="no userland proxy runs",
        known=lambda host: host.proxies is not None,
    ),
    LINKS,
)
"""In the order of their digits."""

BY_NAME: dict[str, View] = {view.name: view for view in VIEWS}
