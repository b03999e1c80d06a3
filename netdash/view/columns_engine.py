"""The views of what the engine manages: containers, networks, and drift: what it should have written."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.join.rates import container_rate, network_rate
from netdash.model.addresses import socket_text
from netdash.model.engine_state import Drift, DriftKind
from netdash.model.finding import Finding, worst
from netdash.model.host import IP, Binding, Container, Endpoint, Host, Interface, Network, Ref
from netdash.model.index import Index, index_of
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.view import formatting, marks, rates
from netdash.view.formatting import NOTHING, UNKNOWN
from netdash.view.table import Belongs, Column, Row, Rows, View
from netdash.view.text import Span, Tone, clean

# --- containers -------------------------------------------------------------------------------------------------------


def _containers(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.containers or (), lambda container: _container(host, index, container))


def _container(host: Host, index: Index, container: Container) -> Row:
    own_ports = index.ports(container.id)
    state = formatting.state(container)
    rate = container_rate(host, container)
    cells = (
        Span(clean(container.name), Tone.KEY, ref_of(container)),
        *marks.cells(host, container),
        state,
        _for(host, container),
        _addresses(host, container),
        _networks_cell(index, container),
        _bridges_cell(host, index, container),
        formatting.unknown(host, Source.DOCKER) if host.ports is None else formatting.published(container, own_ports),
        Span(clean(container.compose), Tone.DIM) if container.compose else NOTHING,
        Span(clean(container.image), Tone.DIM),
        *rates.cells(rate),
    )
    standing = marks.standing_of(host, container)
    since = container.started_at if container.running else container.finished_at
    first = next((int(end.ip) for end in _interfaces(container)), None)
    port = min((port.host_port for port in own_ports), default=None)
    fares = worst(standing.inwards, standing.outwards) if standing is not None else None
    sort = (
        container.name.casefold(),
        marks.rank(fares),
        marks.rank(standing.outwards if standing else None),
        (not container.running, container.state),
        None if not since or host.taken is None else host.taken - since,
        first,
        cells[6].text,
        cells[7].text,
        port,
        cells[9].text,
        cells[10].text,
        *rates.sort(rate),
    )
    finding = marks.finding_of(host, standing)
    lead = state.with_text(state.text[:1])
    why = _why(host, container, finding, state)
    note = marks.note(host, container) if why is None else None
    both = (standing.inwards, standing.outwards) if standing is not None else ()
    projects = ((Belongs(container.compose or "", container.compose or ""),),)
    return Row(ref_of(container), cells, sort, lead, marks.tags(fares, finding, both), why, projects, note)


def _why(host: Host, container: Container, finding: Finding | None, state: Span) -> Span | None:
    """What stands in the place of its address and ports: the worst that hits it, or that it is not just running."""
    if finding is not None:
        return marks.why(finding)
    if formatting.kept(host, container) or state.text[2:] == "running":
        return None
    since = formatting.how_long(host, container)
    return Span(f"{state.text[2:]}{f', {since} ago' if since and not container.running else ''}", state.tone)


def _for(host: Host, container: Container) -> Span:
    """Since when it runs, or does not; "—" for what never ran."""
    told = formatting.how_long(host, container)
    if not told and container.state != "created":
        return formatting.unknown_yet(host)
    return Span(told, Tone.DIM) if told else NOTHING


def _addresses(host: Host, container: Container) -> Span:
    kept = formatting.kept(host, container)
    if kept:
        return Span(kept, Tone.WARN)
    found = _interfaces(container)
    if found:
        return Span(", ".join(str(address.ip) for address in found), Tone.KEY, address_ref(found[0].ip))
    if container.left_behind:
        return Span(f"✗ left behind by {clean(container.shares_with or '?')}", Tone.BAD)
    if container.shares_with:
        return Span(f"as {clean(container.shares_with)}", Tone.DIM)
    if container.network_mode == "host":
        return Span("host", Tone.DIM)
    if container.network_mode == "none":
        return Span("none", Tone.DIM)
    return UNKNOWN if container.running else NOTHING


def _interfaces(container: Container) -> list[Interface]:
    """One address of each network first, IPv4 where there is one; then the others."""
    first = [end.addresses[0] for end in container.endpoints if end.addresses]
    return first + [address for end in container.endpoints for address in end.addresses[1:]]


def _networks_cell(index: Index, container: Container) -> Span:
    ends = [end for end in container.endpoints if end.network not in ("host", "none")]
    if not ends:
        return NOTHING
    network = index.network(ends[0])
    ref = ref_of(network) if network else Ref("network", ends[0].network_id)
    return Span(", ".join(clean(end.network) for end in ends), Tone.PLAIN, ref)


def _bridges_cell(host: Host, index: Index, container: Container) -> Span:
    ends = [end for end in container.endpoints if end.network not in ("host", "none")]
    if ends and host.networks is None:
        return formatting.unknown(host, Source.DOCKER)
    names = [_device(index, end) for end in ends]
    known = [name for name in names if name]
    if not known:
        return NOTHING
    return Span(", ".join(clean(name) for name in known), Tone.PLAIN, formatting.link_ref(known[0]))


def _device(index: Index, end: Endpoint) -> str | None:
    """The bridge; for macvlan and ipvlan the parent device."""
    network = index.network(end)
    return (network.bridge or network.parent) if network else None


CONTAINERS = View(
    name="containers",
    title="Containers",
    short="Ctr",
    digit="1",
    kind="container",
    columns=(
        Column("name", "NAME", most=28, least=16, middle=True),
        Column("in", "IN ", most=3, short="IN", screen=True),
        Column("out", "OUT ", most=4, short="OUT", screen=True),
        Column("state", "STATE", most=24, least=12, screen=False),
        Column("for", "FOR", leaves=7, most=8),
        Column("address", "ADDRESS", leaves=1, most=33, least=15),
        Column("network", "NETWORK", leaves=2, most=22, least=10),
        Column("bridge", "BRIDGE", leaves=10, most=16),
        Column("published", "PUBLISHED", most=30, least=14),
        Column("compose", "COMPOSE", leaves=11, most=16, least=8),
        Column("image", "IMAGE", leaves=9, most=30, least=10),
        *rates.COLUMNS,
    ),
    sources=(Source.DOCKER,),
    rows=_containers,
    empty="no containers yet",
    known=lambda host: host.containers is not None,
    keeps=3,
    groupings=("compose project",),
)

# --- networks ---------------------------------------------------------------------------------------------------------


def _networks(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.networks or (), lambda network: _network(host, index, network))


def _network(host: Host, index: Index, network: Network) -> Row:
    device = network.bridge or network.parent
    members, gateways = index.members(network), index.gateways(network)
    mark = formatting.drift_mark(index.drift_of_network(network.id))
    flags = f"{mark}{formatting.network_flags(network)}".strip()
    fares = marks.of_network(host, network)
    rate = network_rate(host, network)
    cells = (
        Span(clean(network.name), Tone.KEY, ref_of(network)),
        Span(clean(network.driver)),
        Span(clean(device), Tone.PLAIN, formatting.link_ref(device)) if device else NOTHING,
        Span(", ".join(map(str, network.subnets)), Tone.KEY) if network.subnets else NOTHING,
        UNKNOWN if gateways is None else _gateways(gateways),
        formatting.unknown(host, Source.DOCKER) if members is None else Span(str(members)),
        Span(flags, Tone.BAD if mark else Tone.WARN) if flags else NOTHING,
        Span(clean(network.compose), Tone.DIM) if network.compose else NOTHING,
        *rates.cells(rate),
    )
    subnet = int(network.subnets[0].network_address) if network.subnets else None
    gateway = int(gateways[0]) if gateways else None
    sort = (
        network.name.casefold(),
        network.driver,
        cells[2].text,
        subnet,
        gateway,
        members,
        cells[6].text,
        cells[7].text,
        *rates.sort(rate),
    )
    finding = marks.finding_of_network(host, network)
    tags, groups = marks.tags(fares, finding), ((Belongs(network.compose or "", network.compose or ""),),)
    return Row(ref_of(network), cells, sort, marks.lead(fares), tags, marks.why(finding), groups)


def _gateways(ips: Sequence[IP]) -> Span:
    return Span(", ".join(map(str, ips)), Tone.PLAIN, address_ref(ips[0])) if ips else NOTHING


NETWORKS = View(
    name="networks",
    title="Networks",
    short="Net",
    digit="3",
    kind="network",
    columns=(
        Column("name", "NAME", most=26, least=14, middle=True),
        Column("driver", "DRIVER", leaves=4, most=10),
        Column("bridge", "BRIDGE", most=16),
        Column("subnet", "SUBNET", most=34, least=18),
        Column("gateway", "GATEWAY", leaves=5, most=26, least=14),
        Column("containers", "CONTAINERS", right=True, leaves=1, most=10),
        Column("flags", "FLAGS", leaves=3, most=34, least=8),
        Column("compose", "COMPOSE", leaves=8, most=16, least=8),
        *rates.COLUMNS,
    ),
    sources=(Source.DOCKER,),
    rows=_networks,
    empty="no networks",
    known=lambda host: host.networks is not None,
    groupings=("compose project",),
)


# --- drift ------------------------------------------------------------------------------------------------------------

TONES = {
    DriftKind.MISSING: Tone.BAD,
    DriftKind.SHADOWED: Tone.BAD,
    DriftKind.LEFT: Tone.BAD,
    DriftKind.STALE: Tone.WARN,
}


def drift_place(drift: Drift) -> str:
    """table/CHAIN #n; without a number where the rule is not there."""
    if drift.rule is not None:
        return drift.rule.place
    prefix = "" if drift.family == "ip" else f"{drift.family} "
    return f"{prefix}{drift.table}/{drift.chain}"


def port_text(binding: Binding) -> str:
    """8080/tcp, with the address where it is bound to one."""
    number = str(binding.host_port or binding.container_port)
    if binding.host_ip is not None and not binding.host_ip.is_unspecified:
        number = socket_text(binding.host_ip, binding.host_port)
    return clean(f"{number}/{binding.proto}")


def _drift(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.drift or (), lambda drift: _drift_row(index, drift))


def _drift_row(index: Index, drift: Drift) -> Row:
    container = index.containers.get(drift.container_id or "")
    network = index.networks.get(drift.network_id or "")
    cells = (
        Span(drift.kind.value, TONES.get(drift.kind, Tone.WARN)),
        Span(clean(drift_place(drift)), Tone.PLAIN, ref_of(drift.rule) if drift.rule else None),
        Span(clean(container.name), Tone.KEY, ref_of(container)) if container else NOTHING,
        Span(port_text(drift.binding)) if drift.binding else NOTHING,
        Span(clean(network.name), Tone.PLAIN, ref_of(network)) if network else NOTHING,
        Span(clean(drift.why, 200)),
        Span(clean(drift.text.removeprefix(f"-A {drift.chain} "), 200), Tone.DIM),
    )
    number = drift.binding.host_port if drift.binding else None
    sort = (list(DriftKind).index(drift.kind), *(cell.text.casefold() for cell in cells[1:3]), number)
    return Row(ref_of(drift), cells, (*sort, *(cell.text.casefold() for cell in cells[4:])))


def _doubt(host: Host) -> str:
    failure = host.failures.get("drift: rules")
    return clean(f"no difference found; {failure.reason}", 300) if failure else ""


DRIFT = View(
    name="drift",
    title="Drift",
    short="Drift",
    digit="8",
    kind="drift",
    columns=(
        Column("kind", "DRIFT", most=9),
        Column("rule", "RULE", most=34, least=14),
        Column("container", "CONTAINER", leaves=2, most=20, least=10, middle=True),
        Column("port", "PORT", leaves=1, most=22, least=8),
        Column("network", "NETWORK", leaves=3, most=16, least=8),
        Column("why", "WHY", most=60, least=20),
        Column("text", "TEXT", leaves=8, most=110, least=20),
    ),
    sources=(Source.DOCKER, Source.RULES, Source.LINKS, Source.PROXIES, "drift"),
    rows=_drift,
    empty="nothing differs from what the engine should have written",
    known=lambda host: host.drift is not None,
    findings=True,
    doubt=_doubt,
)
